"""The process behind the live view: reads epochs from its input and logs them in MLflow."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from agc.errors import UserError
from agc.files import read_json
from agc.tracking.content import cut_parameters, metric_key, read_parameters
from agc.tracking.mirror import open_experiment
from agc.tracking.names import run_name
from agc.tracking.plan import LIVE, is_live
from agc.tracking.store import load_mlflow, open_client, store_errors, store_lock
from agc.tracking.writing import METRICS_A_CALL, PARAMETERS_A_CALL, chunks, logged

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

RETRY_SECONDS = 15.0
"""Pause after a failure: a store that is away is not asked at every epoch."""


class Writer:
    """Logs the epochs of one cell after another; keeps those that could not be logged yet."""

    def __init__(self, experiment: str, uri: str, artifact_root: Path) -> None:
        self.experiment = experiment
        self.uri = uri
        self.artifact_root = artifact_root
        self.client: MlflowClient | None = None
        self.runs: dict[str, tuple[str, set[tuple[str, int]]]] = {}
        self.waiting: list[tuple[str, dict[str, Any]]] = []
        self.cell: str | None = None
        self.retry_at = 0.0
        self.warned = False

    def take(self, message: dict[str, Any]) -> None:
        """Note a message of :class:`agc.tracking.live.Live`."""
        if "cell" in message:
            self.cell = message["cell"]
        elif self.cell is not None:
            self.waiting.append((self.cell, message))

    def flush(self) -> None:
        """Log what waits, unless the store failed a moment ago."""
        if not self.waiting or time.monotonic() < self.retry_at:
            return
        try:
            if self.client is None:
                load_mlflow()
                # Of two that find an empty database, one would fail on the other's tables.
                with store_lock(self.uri, self.artifact_root, lambda line: None):
                    self.client = open_client(self.uri)
            with store_errors(self.uri):
                while self.waiting:
                    folder, message = self.waiting[0]
                    self._log(Path(folder), message)
                    self.waiting.pop(0)
        except UserError as error:
            self.retry_at = time.monotonic() + RETRY_SECONDS
            if not self.warned:
                print(f"agc: warning: live view: {error}", file=sys.stderr, flush=True)
            self.warned = True

    def _log(self, folder: Path, message: dict[str, Any]) -> None:
        from mlflow.entities import Metric

        if str(folder) not in self.runs:
            self.runs[str(folder)] = self._run(folder)
        run_id, held = self.runs[str(folder)]
        row = dict(message["row"])
        step = row.pop("epoch")
        points = {
            (metric_key(name), step): float(value)
            for name, value in row.items()
            if value is not None
        }
        # A training that was killed repeats epochs since its checkpoint.
        new = {point: value for point, value in points.items() if point not in held}
        metrics = [
            Metric(name, value, message["time"], step) for (name, step), value in new.items()
        ]
        for some in chunks(metrics, METRICS_A_CALL):
            self.client.log_batch(run_id, metrics=some)
        held.update(new)

    def _run(self, folder: Path) -> tuple[str, set[tuple[str, int]]]:
        """The run of a cell that an earlier training began, or a new one, and what it holds."""
        from mlflow.entities import Param

        cell = read_json(folder / "cell.json")["cell"]
        # Also keeps two writers from making the experiment at once.
        with store_lock(self.uri, self.artifact_root, lambda line: None):
            experiment = open_experiment(self.client, self.experiment, self.uri, self.artifact_root)
            run = self._begun(experiment.experiment_id, folder.name)
            if run is None:
                tags = {"agc.cell": folder.name, "agc.grid": self.experiment, LIVE: "true"}
                run = self.client.create_run(
                    experiment.experiment_id, tags=tags, run_name=run_name(cell)
                )
        parameters = cut_parameters(read_parameters(cell))
        listed = [Param(name, value) for name, value in parameters.items()]
        for some in chunks(listed, PARAMETERS_A_CALL):
            self.client.log_batch(run.info.run_id, params=some)
        return run.info.run_id, set(logged(self.client, run))

    def _begun(self, experiment_id: str, slug: str) -> Run | None:
        found = self.client.search_runs([experiment_id], f"tags.`agc.cell` = '{slug}'")
        return next((run for run in found if is_live(run)), None)


def main() -> None:
    """Read messages until the input ends; stop at once if the training was killed."""
    experiment, artifact_root = sys.argv[1:]
    parent = os.getppid()
    messages: SimpleQueue[bytes | None] = SimpleQueue()
    # Read beside logging: a slow store must not fill the pipe.
    threading.Thread(target=_read, args=(messages,), daemon=True).start()
    writer = Writer(experiment, os.environ["MLFLOW_TRACKING_URI"], Path(artifact_root))
    while os.getppid() == parent:
        try:
            line = messages.get(timeout=1.0)
        except Empty:
            writer.flush()
            continue
        if line is None:
            writer.flush()
            return
        writer.take(json.loads(line))
        if messages.empty():
            writer.flush()


def _read(messages: SimpleQueue[bytes | None]) -> None:
    for line in sys.stdin.buffer:
        messages.put(line)
    messages.put(None)


if __name__ == "__main__":
    main()
