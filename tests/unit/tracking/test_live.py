from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from agc.tracking import SyncReport, sync
from agc.tracking.live import Live
from agc.tracking.live_writer import Writer
from tests.support.live_cells import read_rows
from tests.support.tracking_cells import make_cell

pytest.importorskip("mlflow")

EPOCHS = 4


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    folder = tmp_path_factory.mktemp("results")
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


def uri(results: Path) -> str:
    return f"sqlite:///{results}/mlflow.db"


def log(results: Path, cell: Path, rows: list[dict[str, object]], moment: int = 1) -> Writer:
    """What the background process does with the epochs of one training."""
    writer = Writer("live", uri(results), results / "mlartifacts")
    writer.take({"cell": str(cell)})
    for row in rows:
        writer.take({"row": row, "time": moment})
    writer.flush()
    return writer


def runs(results: Path, cell: Path) -> list[tuple]:
    """Identifier, status and points of train_loss of a cell's active runs."""
    with sqlite3.connect(results / "mlflow.db") as database:
        return database.execute(
            "select run_uuid, status, (select count(*) from metrics m"
            " where m.run_uuid = r.run_uuid and m.key = 'train_loss') from runs r"
            " where lifecycle_stage = 'active' and ? ="
            " (select value from tags t where t.run_uuid = r.run_uuid and t.key = 'agc.cell')",
            [cell.name],
        ).fetchall()


def mirror(results: Path, cell: Path) -> SyncReport:
    return sync("live", [cell], uri(results), results / "mlartifacts")


def test_epochs_appear_before_there_is_a_record_and_the_sync_completes_their_run(
    results: Path,
) -> None:
    cell = make_cell(results, 0, EPOCHS)
    record = (cell / "record.json").read_text()
    (cell / "record.json").unlink()
    log(results, cell, read_rows(cell)[:2])
    ((run, status, points),) = runs(results, cell)
    assert (status, points) == ("RUNNING", 2)
    assert mirror(results, cell) == SyncReport("live", waiting=1)

    (cell / "record.json").write_text(record)
    assert mirror(results, cell).repaired == 1
    assert runs(results, cell) == [(run, "FINISHED", EPOCHS)]
    assert mirror(results, cell).unchanged == 1


def test_a_best_epoch_that_was_tested_at_the_end_is_completed_by_the_sync(results: Path) -> None:
    cell = make_cell(results, 5, EPOCHS)
    log(results, cell, [{**row, "test_accuracy": None} for row in read_rows(cell)])
    ((run, status, _),) = runs(results, cell)
    assert status == "RUNNING"
    assert mirror(results, cell).repaired == 1
    assert runs(results, cell) == [(run, "FINISHED", EPOCHS)]


def test_a_training_that_repeats_epochs_logs_none_twice(results: Path) -> None:
    cell = make_cell(results, 1, EPOCHS)
    log(results, cell, read_rows(cell)[:3], moment=1)
    log(results, cell, read_rows(cell)[1:], moment=2)
    ((run, status, points),) = runs(results, cell)
    assert (status, points) == ("RUNNING", EPOCHS)
    mirror(results, cell)
    assert runs(results, cell) == [(run, "FINISHED", EPOCHS)]


def test_a_run_that_disagrees_with_the_record_is_replaced(results: Path) -> None:
    cell = make_cell(results, 2, EPOCHS)
    other = {**read_rows(cell)[0], "train_loss": 77.0}
    log(results, cell, [other])
    ((begun, *_),) = runs(results, cell)
    assert mirror(results, cell).repaired == 1
    ((run, status, points),) = runs(results, cell)
    assert run != begun
    assert (status, points) == ("FINISHED", EPOCHS)


def test_epochs_wait_for_a_store_that_is_away(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = make_cell(results, 4, EPOCHS)
    description = (cell / "cell.json").read_text()
    (cell / "cell.json").unlink()
    writer = log(results, cell, read_rows(cell))
    assert capsys.readouterr().err.count("live view") == 1
    assert len(writer.waiting) == EPOCHS

    (cell / "cell.json").write_text(description)
    writer.retry_at = 0.0
    writer.flush()
    assert [points for _, _, points in runs(results, cell)] == [EPOCHS]


def test_a_writer_that_hangs_or_died_never_stops_the_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "python"
    for program in ("sleep 600", "false"):
        script.write_text(f"#!/bin/sh\nexec {program}\n")
        script.chmod(0o755)
        monkeypatch.setattr("sys.executable", str(script))
        with Live("live", "sqlite://", tmp_path, patience=0.0) as view:
            for epoch in range(2000):
                view.epoch({"epoch": epoch, "text": "x" * 200})
            process = view.process
        assert view.lost
        assert process.returncode is not None
