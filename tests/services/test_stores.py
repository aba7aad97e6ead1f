"""Many cells at once, and a server that goes away: each cell ends with exactly one whole run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy

from agc.errors import UserError
from agc.tracking import SyncReport, check, sync
from tests.services.servers import Postgres, Server, free_port
from tests.support.live_cells import log_cells
from tests.support.tracking_cells import make_cells

ROOT = Path(__file__).resolve().parents[2]
EPOCHS = 5
RUNS = """
select cell.value as slug, r.status,
    (select count(*) from tags t where t.run_uuid = r.run_uuid and t.key = 'agc.digest'),
    (select count(*) from metrics m where m.run_uuid = r.run_uuid and m.key = 'train_loss'),
    (select count(*) from metrics m where m.run_uuid = r.run_uuid)
from runs r join experiments e on e.experiment_id = r.experiment_id
join tags cell on cell.run_uuid = r.run_uuid and cell.key = 'agc.cell'
where e.name = :grid and r.lifecycle_stage = 'active' order by slug
"""


def query(database: str, grid: str) -> list[tuple]:
    engine = sqlalchemy.create_engine(database)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sqlalchemy.text(RUNS), {"grid": grid})]
    finally:
        engine.dispose()


def assert_one_whole_run_each(database: str, grid: str, cells: list[Path]) -> None:
    # Beside the 14 columns, the record's 13 figures. One correction in two has no tau, no slope.
    def points(cell: Path) -> int:
        return (14 if ".agc." in cell.name else 12) * EPOCHS + 13

    wanted = [(cell.name, "FINISHED", 1, EPOCHS, points(cell)) for cell in cells]
    assert query(database, grid) == sorted(wanted)


def assert_all_epochs_are_there_already(database: str, grid: str, cells: list[Path]) -> None:
    """Without this a sync alone would have to account for what came through."""
    live = [(name, status, epochs) for name, status, _, epochs, _ in query(database, grid)]
    assert live == sorted((cell.name, "RUNNING", EPOCHS) for cell in cells)


def log_at_once(grid: str, uri: str, root: Path, cells: list[Path]) -> list[str]:
    """One process a cell, all at the same time; what each of them told the user."""
    command = [sys.executable, "-m", "tests.support.live_cells", grid, uri, str(root)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [
        subprocess.Popen([*command, str(cell)], env=environment, stderr=subprocess.PIPE, text=True)
        for cell in cells
    ]
    return [writer.communicate()[1] for writer in writers]


@pytest.fixture
def sixteen(tmp_path: Path) -> list[Path]:
    return make_cells(tmp_path, 16, EPOCHS)


def test_sqlite_with_sixteen_cells_at_once_loses_nothing(
    tmp_path: Path, sixteen: list[Path]
) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    told = log_at_once("grid", uri, tmp_path / "artifacts", sixteen)
    assert told == [""] * 16
    assert_all_epochs_are_there_already(uri, "grid", sixteen)
    sync("grid", sixteen, uri, tmp_path / "artifacts")
    assert_one_whole_run_each(uri, "grid", sixteen)
    assert check("grid", sixteen, uri, tmp_path / "artifacts") == SyncReport("grid", unchanged=16)


def test_server_on_postgres_with_sixteen_cells_at_once_loses_nothing(
    tmp_path: Path, sixteen: list[Path], postgres: Postgres, server: Server
) -> None:
    told = log_at_once("sixteen", server.uri, tmp_path / "artifacts", sixteen)
    assert told == [""] * 16
    assert_all_epochs_are_there_already(postgres.uri, "sixteen", sixteen)
    sync("sixteen", sixteen, server.uri, tmp_path / "artifacts")
    assert_one_whole_run_each(postgres.uri, "sixteen", sixteen)
    assert check("sixteen", sixteen, server.uri, tmp_path / "artifacts").in_step


def test_server_stopped_in_the_middle_is_repaired_by_a_sync(
    tmp_path: Path, postgres: Postgres, server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "artifacts"
    cells = make_cells(tmp_path, 4, EPOCHS)
    log_cells("outage", server.uri, root, cells[:2], last=2)
    began = {name for name, *_ in query(postgres.uri, "outage")}
    assert began == {cell.name for cell in cells[:2]}

    server.stop()
    log_cells("outage", server.uri, root, cells)
    assert "live view" in capfd.readouterr().err
    with pytest.raises(UserError, match="failed"):
        sync("outage", cells, server.uri, root)

    server.start()
    assert sync("outage", cells, server.uri, root) == SyncReport("outage", added=2, repaired=2)
    assert_one_whole_run_each(postgres.uri, "outage", cells)
    assert sync("outage", cells, server.uri, root) == SyncReport("outage", unchanged=4)


def test_training_without_a_server_writes_the_same_bits(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    plain, live = (
        train(tmp_path / name, options, nobody)
        for name, options in [("plain", []), ("live", ["--live", "grid"])]
    )
    for name in ("epochs.csv", "model.safetensors", "layers.csv"):
        assert (plain / name).read_bytes() == (live / name).read_bytes()


def train(results: Path, options: list[str], uri: str) -> Path:
    axes = "--dataset digits --architecture resnet8 --method rigl --sparsity 0.9 --correction agc"
    command = [sys.executable, "-m", "agc", "train", *axes.split(), "--epochs", "2"]
    command += ["--results", str(results), "--device", "cpu", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": uri}
    subprocess.run(command, env=environment, check=True, cwd=ROOT)
    (cell,) = (results / "cells").iterdir()
    return cell
