"""Several processes that fill runs, for grids whose mirroring would take minutes in one.

Most of the time goes into MLflow's Python code, about a tenth of a second for a thousand points, so
threads would not help. Only the process that holds the mirror's lock begins runs: a worker that
outlives it can complete a run of a cell, but never add another one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from agc.errors import UserError
from agc.tracking.writing import Job, fill

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Fewer are written sooner than a process has imported MLflow.
RUNS_A_WORKER = 50
# More would wait for one another: a store writes one transaction at a time, or nearly so.
MOST_WORKERS = 4
# One to work on and one to go on with. Each that a kill finds begun is written again.
JOBS_AHEAD = 2


@contextmanager
def run_writer(client: MlflowClient, uri: str, runs: int) -> Iterator[Callable[[Job], None]]:
    """A function that fills one run after another; all are whole when the block has ended.

    Args:
        client: fills them here, if ``runs`` are too few for workers.
        uri: the store, for the workers' own clients.
        runs: how many will come.

    Raises:
        UserError: a worker failed.
    """
    count = min(MOST_WORKERS, _usable_cores(), runs // RUNS_A_WORKER)
    if count < 2:
        yield partial(fill, client)
        return
    with Workers(uri, count) as workers:
        yield workers.give
        workers.finish()


class Workers:
    """Processes of ``agc.tracking.worker``, each with a client of its own."""

    def __init__(self, uri: str, count: int) -> None:
        # On a command line, others would see a password.
        self.environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
        self.count = count
        self.processes: list[subprocess.Popen[str]] = []
        self.waiting: list[int] = []
        self.given = 0

    def __enter__(self) -> Workers:
        command = [sys.executable, "-m", "agc.tracking.worker"]
        for _ in range(self.count):
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self.environment,
                # Ctrl-C is for this process, which ends them.
                start_new_session=True,
            )
            self.processes.append(process)
            self.waiting.append(0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdout.close()

    def give(self, job: Job) -> None:
        """Hand a job to the next worker, once that has room.

        Raises:
            UserError: the worker failed at an earlier job, or died.
        """
        worker = self.given % self.count
        self.given += 1
        if self.waiting[worker] == JOBS_AHEAD:
            self._receive(worker)
        try:
            self.processes[worker].stdin.write(job.to_json() + "\n")
            self.processes[worker].stdin.flush()
        except OSError as error:
            raise self._ended(worker) from error
        self.waiting[worker] += 1

    def finish(self) -> None:
        """Wait until everything is written.

        Raises:
            UserError: a worker failed, or died.
        """
        for worker in range(self.count):
            while self.waiting[worker]:
                self._receive(worker)

    def _receive(self, worker: int) -> None:
        line = self.processes[worker].stdout.readline()
        if not line.endswith("\n"):
            raise self._ended(worker)
        self.waiting[worker] -= 1
        error = json.loads(line)["error"]
        if error is not None:
            raise UserError(error)

    def _ended(self, worker: int) -> UserError:
        code = self.processes[worker].wait()
        return UserError(f"a process that wrote runs ended with code {code}; mirror again")


def _usable_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
