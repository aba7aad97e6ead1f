"""What the mirror lacks, has wrongly, has twice or should not have."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from agc.tracking import SyncReport, default_uri, plan, store
from tests.support.mirrors import ACTIVE, CELL, compare, mirror, names, query, whole_runs
from tests.support.tracking_cells import make_cell, make_cells

pytest.importorskip("mlflow")


def test_a_second_sync_changes_nothing(results: Path) -> None:
    cells = make_cells(results, 3)
    mirror(results, cells)
    before = query(results, "select run_uuid from runs order by 1")
    assert mirror(results, cells) == SyncReport("demo", unchanged=3)
    assert compare(results, cells).in_step
    assert query(results, "select run_uuid from runs order by 1") == before


@pytest.mark.parametrize("change", ["record", "curve", "artifact", "status"])
def test_a_run_that_differs_is_written_anew(results: Path, change: str) -> None:
    cells = make_cells(results, 2)
    mirror(results, cells)
    if change == "record":
        make_cell(results, seed=1, test_accuracy=0.5)
    elif change == "curve":
        path = cells[1] / "epochs.csv"
        path.write_text(path.read_text().replace("0.6", "0.7"))
    elif change == "artifact":
        next((results / "mlartifacts").rglob("record.json")).unlink()
    else:
        with sqlite3.connect(results / "mlflow.db") as database:
            database.execute(
                "update runs set status = 'RUNNING' where run_uuid in"
                " (select run_uuid from tags where key = 'agc.cell' and value = ?)",
                [cells[0].name],
            )

    expected = SyncReport("demo", repaired=1, unchanged=1)
    assert compare(results, cells) == expected
    assert mirror(results, cells) == expected
    assert whole_runs(results) == names(cells)
    assert compare(results, cells).in_step
    if change == "record":
        values = query(
            results,
            "select value from metrics m join runs r using (run_uuid) where key = "
            "'final.test_accuracy' and r.lifecycle_stage = 'active' order by value",
        )
        assert values == [(0.5,), (0.9,)]


def test_other_runs_of_a_cell_go_and_runs_of_a_user_stay(results: Path) -> None:
    cells = make_cells(results, 2)
    mirror(results, cells)
    client = store.open_client(default_uri(results))
    experiment = client.get_experiment_by_name("demo").experiment_id
    client.create_run(experiment, tags={"agc.cell": cells[0].name}, run_name="copy")
    client.create_run(experiment, run_name="my own")
    expected = SyncReport("demo", unchanged=2, duplicates=1)
    assert compare(results, cells) == expected
    assert mirror(results, cells) == expected
    rows = query(results, f"select coalesce({CELL}, r.name) from {ACTIVE}")
    assert sorted(name for (name,) in rows) == sorted([*names(cells), "my own"])


def test_stale_runs_go_only_when_asked(results: Path) -> None:
    cells = make_cells(results, 3)
    mirror(results, cells)
    assert mirror(results, cells[:2]) == SyncReport("demo", unchanged=2, stale=1)
    assert whole_runs(results) == names(cells)
    assert mirror(results, cells[:2], prune=True) == SyncReport(
        "demo", unchanged=2, stale=1, pruned=1
    )
    assert whole_runs(results) == names(cells[:2])


def test_a_cell_without_a_record_waits_and_keeps_its_run(results: Path) -> None:
    cells = make_cells(results, 2)
    mirror(results, cells)
    (cells[0] / "record.json").unlink()
    assert mirror(results, cells, prune=True) == SyncReport("demo", unchanged=1, waiting=1)
    assert whole_runs(results) == names(cells)


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("record.json", "{", "JSON"),
        ("record.json", '{"cell": {}}', "provenance"),
        ("epochs.csv", "epoch,train_loss\n1,much\n", "much"),
    ],
)
def test_a_damaged_record_does_not_keep_the_others_out(
    results: Path, name: str, text: str, word: str
) -> None:
    cells = make_cells(results, 3)
    (cells[0] / name).write_text(text)
    report = mirror(results, cells)
    assert (report.added, len(report.problems)) == (2, 1)
    assert word in report.problems[0]
    assert str(cells[0]) in report.problems[0]
    assert not report.in_step
    assert whole_runs(results) == names(cells[1:])


def test_more_runs_than_one_page(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = make_cells(results, 5, epochs=1)
    mirror(results, cells)
    monkeypatch.setattr(plan, "PAGE", 2)
    assert compare(results, cells) == SyncReport("demo", unchanged=5)


def test_an_experiment_in_the_trash_comes_back_without_copies(results: Path) -> None:
    cells = make_cells(results, 2)
    mirror(results, cells)
    make_cell(results, seed=0, test_accuracy=0.1)
    mirror(results, cells)
    client = store.open_client(default_uri(results))
    client.delete_experiment(client.get_experiment_by_name("demo").experiment_id)
    assert compare(results, cells).added == 2
    mirror(results, cells)
    assert compare(results, cells).in_step
    assert whole_runs(results) == names(cells)
