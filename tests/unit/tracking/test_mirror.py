"""A sync that is stopped, doubled or watched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agc.errors import UserError
from agc.tracking import SyncReport
from tests.support.mirrors import ACTIVE, compare, mirror, names, query, whole_runs
from tests.support.tracking_cells import make_cells
from tests.support.waiting import HANG

pytest.importorskip("mlflow")


def test_check_writes_nothing(tmp_path: Path) -> None:
    cells = make_cells(tmp_path, 2)
    before = sorted(tmp_path.rglob("*"))
    assert compare(tmp_path, cells) == SyncReport("demo", added=2)
    assert sorted(tmp_path.rglob("*")) == before


def run_sync(results: Path, extra: str = "") -> subprocess.Popen[str]:
    """Start a process that mirrors every cell below ``results``, after running ``extra``."""
    code = f"""
import sys
from pathlib import Path
from agc.tracking import default_uri, sync
{extra}
results = Path(sys.argv[1])
cells = sorted((results / "cells").iterdir())
print(sync("demo", cells, default_uri(results), results / "mlartifacts").summary())
"""
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(results)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=results,
    )


def test_a_killed_sync_is_completed_by_the_next(results: Path) -> None:
    cells = make_cells(results, 6)
    # Dies while the third run has its metrics and artifacts, but no end.
    process = run_sync(
        results,
        """
import os, signal
from mlflow import MlflowClient
finish, calls = MlflowClient.set_terminated, []
def killed(self, *arguments, **options):
    calls.append(arguments)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return finish(self, *arguments, **options)
MlflowClient.set_terminated = killed
""",
    )
    process.communicate(timeout=HANG)
    assert process.returncode == -signal.SIGKILL
    assert query(results, f"select count(*) from {ACTIVE}") == [(3,)]
    assert len(whole_runs(results)) == 2

    expected = SyncReport("demo", added=3, repaired=1, unchanged=2)
    assert compare(results, cells) == expected
    assert mirror(results, cells) == expected
    assert query(results, f"select count(*) from {ACTIVE}") == [(6,)]
    assert whole_runs(results) == names(cells)


def test_two_processes_at_once_write_every_run_once(tmp_path: Path) -> None:
    """Neither finds a database: without a lock one would fail on the other's tables."""
    cells = make_cells(tmp_path, 5)
    processes = [run_sync(tmp_path) for _ in range(2)]
    told = [process.communicate(timeout=HANG) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    summaries = sorted(out.strip() for out, _ in told)
    assert summaries == ["demo: 5 added, 0 unchanged", "demo: 5 unchanged"]
    for _, err in told:
        lines = err.strip().splitlines()
        assert all(line.startswith("waiting for another process") for line in lines), err
    assert query(tmp_path, "select count(*) from runs") == [(5,)]
    assert whole_runs(tmp_path) == names(cells)
    assert not (tmp_path / "mlruns").exists()


def test_progress_counts_the_runs_to_write(results: Path) -> None:
    cells = make_cells(results, 2, epochs=1)
    seen: list[tuple[int, int, str]] = []
    mirror(results, cells, progress=lambda *step: seen.append(step))
    assert seen == [(0, 2, cells[0].name), (1, 2, cells[1].name), (2, 2, "in step")]


def test_moved_results_are_refused_with_the_way_out(results: Path) -> None:
    mirror(results, make_cells(results, 1))
    moved = results.rename(results.with_name("elsewhere"))
    with pytest.raises(UserError, match=r"which is gone.*delete .*elsewhere/mlflow\.db"):
        mirror(moved, sorted((moved / "cells").iterdir()))
    assert not results.exists()
    (moved / "mlflow.db").unlink()
