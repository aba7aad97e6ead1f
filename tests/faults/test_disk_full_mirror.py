"""A full disk under the MLflow database or its artifacts: one clear line, and a sync repairs."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from agc import cli
from agc.errors import UserError
from agc.files import read_json
from agc.tracking import Grid, check, default_uri, sync
from tests.support.tracking_cells import make_cells
from tests.support.trials import fill

pytest.importorskip("mlflow")

CELLS = 4
FULL = r"the tracking store sqlite:///\S+ failed: .*(disk is full|disk I/O error|No space left)"
DONE = (
    "select c.value from runs r join tags t on r.run_uuid = t.run_uuid and t.key = 'agc.digest'"
    " join tags c on c.run_uuid = r.run_uuid and c.key = 'agc.cell' where true"
    " and r.status = 'FINISHED' and r.lifecycle_stage = 'active'"
)


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def cells(tmp_path: Path) -> list[Path]:
    return make_cells(tmp_path / "elsewhere", CELLS, epochs=30)


def mirrored(results: Path) -> list[str]:
    """Cells with a whole run; the database itself is whole, too."""
    with sqlite3.connect(results / "mlflow.db") as database:
        assert database.execute("pragma integrity_check").fetchall() == [("ok",)]
        return sorted(name for (name,) in database.execute(DONE))


def is_complete(results: Path, artifacts: Path, cells: list[Path]) -> bool:
    found = check("demo", cells, default_uri(results), artifacts)
    return found.in_step and mirrored(results) == sorted(cell.name for cell in cells)


@pytest.mark.parametrize("room", [0, 64, 256, 512])
def test_a_database_that_finds_no_room_is_one_line_and_completed_by_the_next_sync(
    disk: Path, empty_store: Path, cells: list[Path], tmp_path: Path, room: int
) -> None:
    shutil.copy(empty_store, disk / "mlflow.db")
    (disk / "mlflow.lock").touch()
    artifacts = tmp_path / "artifacts"
    filler = fill(disk, room << 10)
    with pytest.raises(UserError, match=FULL) as caught:
        sync("demo", cells, default_uri(disk), artifacts)
    assert "\n" not in str(caught.value)
    assert len(mirrored(disk)) < CELLS
    filler.unlink()
    sync("demo", cells, default_uri(disk), artifacts)
    assert is_complete(disk, artifacts, cells)


def test_a_database_that_cannot_be_made_leaves_nothing_that_stands_in_the_way(
    disk: Path, cells: list[Path], tmp_path: Path
) -> None:
    artifacts = tmp_path / "artifacts"
    filler = fill(disk, 64 << 10)
    with pytest.raises(UserError, match=FULL):
        sync("demo", cells, default_uri(disk), artifacts)
    filler.unlink()
    assert sync("demo", cells, default_uri(disk), artifacts).added == CELLS
    assert is_complete(disk, artifacts, cells)


def test_artifacts_that_find_no_room_are_completed_by_the_next_sync(
    disk: Path, empty_store: Path, cells: list[Path], tmp_path: Path
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    shutil.copy(empty_store, results / "mlflow.db")
    filler = fill(disk, 48 << 10)
    with pytest.raises(UserError, match=FULL):
        sync("demo", cells, default_uri(results), disk / "artifacts")
    assert len(mirrored(results)) < CELLS
    filler.unlink()
    sync("demo", cells, default_uri(results), disk / "artifacts")
    assert is_complete(results, disk / "artifacts", cells)


def test_the_workflow_s_sync_warns_and_says_how_to_repeat_it(
    disk: Path,
    empty_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(empty_store, disk / "mlflow.db")
    made = make_cells(disk, 1)
    cells = {path.name: read_json(path / "record.json")["cell"] for path in made}
    grid = Grid("demo", "demo", "what is asked", cells, made)
    monkeypatch.setattr("agc.commands.track._grid", lambda *_: grid)
    (disk / "mlflow.lock").touch()
    fill(disk)
    arguments = ["track", "sync", "demo", "--results", str(disk), "--tolerant"]
    monkeypatch.setattr(sys, "argv", ["agc", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    said = capsys.readouterr().err
    assert said.startswith("agc: warning: not mirrored: the tracking store sqlite:///")
    assert said.endswith(f"later: `agc track sync demo --results {disk}`\n")
