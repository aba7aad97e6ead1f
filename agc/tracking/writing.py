"""How the run of a finished cell is written: begun, filled, and marked as whole last."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from agc.tracking.content import Content, read_content
from agc.tracking.inputs import dataset_input
from agc.tracking.plan import DIGEST

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

T = TypeVar("T")

# MLflow takes 100 parameters and 1000 entries of any kind in one call.
PARAMETERS_A_CALL = 100
METRICS_A_CALL = 900


@dataclass(frozen=True)
class Job:
    """A run to fill from the record in ``folder``."""

    folder: Path
    grid: str
    run_id: str
    digest: str
    """Of the record, as the comparison found it."""
    live: bool
    """Whether the live view began the run, which then holds some of the points."""

    def to_json(self) -> str:
        """One line."""
        return json.dumps({**asdict(self), "folder": str(self.folder.resolve())})

    @classmethod
    def from_json(cls, line: str) -> Job:
        """Read what :meth:`to_json` wrote."""
        fields = json.loads(line)
        return cls(**{**fields, "folder": Path(fields["folder"])})


def begin(client: MlflowClient, experiment: Experiment, content: Content, digest: str) -> str:
    """Make the run of a cell, without its points yet; its identifier.

    Its digest says what it will hold. The run is whole once it is FINISHED as well: one more
    transaction to say so would cost a sixth of the time.
    """
    run = client.create_run(
        experiment.experiment_id,
        start_time=content.started,
        tags=content.tags | {DIGEST: digest},
        run_name=content.name,
    )
    return run.info.run_id


def fill(client: MlflowClient, job: Job) -> None:
    """Write what a run lacks, and then that it is whole.

    Raises:
        UserError: the record is damaged.
    """
    from mlflow.entities import Metric, Param, RunTag

    content = read_content(job.folder, job.grid)
    points = content.points
    if job.live:
        held = logged(client, client.get_run(job.run_id))
        points = [p for p in points if (p.name, p.step) not in held]
        tags = [RunTag(name, value) for name, value in content.tags.items()]
        for some in chunks(tags, PARAMETERS_A_CALL):
            client.log_batch(job.run_id, tags=some)
    # The newest first: MLflow keeps the last of each metric apart, and would write it step by step.
    points = sorted(points, key=lambda point: -point.step)
    metrics = [Metric(p.name, p.value, p.timestamp, p.step) for p in points]
    parameters = [Param(name, value) for name, value in content.parameters.items()]
    parts = zip_longest(chunks(metrics, METRICS_A_CALL), chunks(parameters, PARAMETERS_A_CALL))
    for some_metrics, some_parameters in parts:
        client.log_batch(job.run_id, metrics=some_metrics or [], params=some_parameters or [])
    client.log_inputs(job.run_id, datasets=[dataset_input(content.dataset)])
    for path in content.files:
        client.log_artifact(job.run_id, str(path))
    # Last: a run that a kill cut short is not FINISHED, or has no digest.
    client.set_terminated(job.run_id, "FINISHED", end_time=content.finished)
    if job.live:
        client.set_tag(job.run_id, DIGEST, job.digest)


def chunks(items: list[T], size: int) -> list[list[T]]:
    """Parts of at most ``size`` items, in order."""
    return [items[i : i + size] for i in range(0, len(items), size)]


def logged(client: MlflowClient, run: Run) -> Counter[tuple[str, int]]:
    """How often each metric was logged at each step."""
    return Counter((name, step) for name, step, _ in _history(client, run))


def continues(client: MlflowClient, run: Run, content: Content) -> bool:
    """Whether everything in the run is in the record as well, each point once.

    It is not if the cell was trained again from its start, on another device, after the live view
    had begun: such a run cannot be completed, since MLflow never takes a point back.
    """
    wanted = {(p.name, p.step): repr(p.value) for p in content.points}
    held = _history(client, run)
    once = len({(name, step) for name, step, _ in held}) == len(held)
    # As text: NaN equals itself then.
    same = all(wanted.get((name, step)) == repr(value) for name, step, value in held)
    return once and same and run.data.params.items() <= content.parameters.items()


def _history(client: MlflowClient, run: Run) -> list[tuple[str, int, float]]:
    return [
        (point.key, point.step, float(point.value))
        for name in run.data.metrics
        for point in client.get_metric_history(run.info.run_id, name)
    ]
