"""Runs written by several processes: the same runs, and one each whoever is killed."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agc.errors import UserError
from agc.tracking import SyncReport, check, default_uri, sync, workers
from agc.tracking.workers import Workers
from agc.tracking.writing import Job
from tests.support.tracking_cells import make_cells

pytest.importorskip("mlflow")

CONTENT = {
    "metrics": "key, value, timestamp, step, is_nan",
    "latest_metrics": "key, value, timestamp, step",
    "params": "key, value",
    "tags": "key, value",
}


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers, however few the runs and the cores."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(workers, "RUNS_A_WORKER", 1)
    monkeypatch.setattr(workers, "_usable_cores", lambda: 2)


def mirror(results: Path, cells: list[Path]) -> SyncReport:
    return sync("demo", cells, default_uri(results), results / "mlartifacts")


def rows(results: Path) -> dict[str, list[tuple]]:
    """All that active runs hold, by the name of the run."""
    with sqlite3.connect(results / "mlflow.db") as database:
        found = {
            table: sorted(
                database.execute(
                    f"select r.name, {columns} from {table} join runs r using (run_uuid)"
                    " where r.lifecycle_stage = 'active'"
                )
            )
            for table, columns in CONTENT.items()
        }
        found["runs"] = database.execute(
            "select name, status, start_time, end_time from runs"
            " where lifecycle_stage = 'active' order by name"
        ).fetchall()
    return found


def test_workers_write_what_one_process_writes(
    tmp_path: Path, many: None, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "workers", tmp_path / "one"
    reports = []
    for results in (first, second):
        cells = make_cells(results, 3, epochs=80)
        shutil.copy(empty_store, results / "mlflow.db")
        reports.append(mirror(results, cells))
        monkeypatch.setattr(workers, "MOST_WORKERS", 1)
    assert reports == [SyncReport("demo", added=3)] * 2
    assert rows(first) == rows(second)
    assert len(rows(first)["metrics"]) > 3000  # more than a call takes, for each
    assert len(list(first.glob("mlartifacts/demo/*/artifacts/model.safetensors"))) == 3


def test_a_sync_killed_beside_its_workers_leaves_one_whole_run_each(results: Path) -> None:
    cells = make_cells(results, 7)
    killed = """
import os, signal, sys
from pathlib import Path
from agc.tracking import default_uri, mirror, sync, workers
workers.RUNS_A_WORKER, workers._usable_cores = 1, lambda: 2
begin, calls = mirror.begin, []
def deadly(*arguments):
    run = begin(*arguments)
    calls.append(run)
    if len(calls) == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return run
mirror.begin = deadly
results = Path(sys.argv[1])
sync("demo", sorted((results / "cells").iterdir()), default_uri(results), results / "mlartifacts")
"""
    done = subprocess.run([sys.executable, "-c", killed, str(results)], check=False)
    assert done.returncode == -signal.SIGKILL
    # At once: its workers may still be about the runs that they had been given.
    mirror(results, cells)
    assert check("demo", cells, default_uri(results), results / "mlartifacts").in_step
    assert len(rows(results)["runs"]) == 7


def test_a_worker_that_dies_is_told_and_the_next_sync_completes(
    results: Path, many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = make_cells(results, 7)
    give = Workers.give

    def deadly(self: Workers, job: Job) -> None:
        give(self, job)
        if self.given == 5:
            os.kill(self.processes[0].pid, signal.SIGKILL)

    monkeypatch.setattr(Workers, "give", deadly)
    with pytest.raises(UserError, match="ended with code -9; mirror again"):
        mirror(results, cells)
    monkeypatch.undo()
    mirror(results, cells)
    assert check("demo", cells, default_uri(results), results / "mlartifacts").in_step
    assert len(rows(results)["runs"]) == 7


def test_what_a_worker_cannot_do_is_the_error_of_the_sync(results: Path) -> None:
    cell = make_cells(results, 1)[0]
    (cell / "epochs.csv").write_text("epoch,train_loss\n1,much\n")
    with Workers(default_uri(results), 1) as one:
        one.give(Job(cell, "demo", "no run", "no digest", live=False))
        with pytest.raises(UserError, match="much"):
            one.finish()
    assert one.processes[0].returncode is not None
