"""What a run holds of its cell, and the digest that tells records apart."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agc.tracking import SyncReport
from agc.tracking.content import digest, flatten
from tests.support.mirrors import ACTIVE, mirror, query
from tests.support.tracking_cells import make_cell

pytest.importorskip("mlflow")


def test_a_run_repeats_the_whole_record(results: Path) -> None:
    cell = make_cell(results, seed=0, epochs=4)
    assert mirror(results, [cell]) == SyncReport("demo", added=1)

    ((name, status, start, end, artifacts, experiment),) = query(
        results,
        f"select r.name, r.status, start_time, end_time, artifact_uri, e.name from {ACTIVE}",
    )
    assert (name, status, experiment) == ("rigl 95 % · agc · seed 0", "FINISHED", "demo")
    # 2026-01-02T03:04:05Z, and thirty seconds later
    assert (start, end) == (1767323045000, 1767323075000)

    parameters = dict(query(results, "select key, value from params"))
    assert parameters["dataset"] == "digits"
    assert parameters["objective"] == "pgd-at"
    assert parameters["objective.epsilon"] == "0.1"
    assert parameters["correction.gamma"] == "0.1"
    assert parameters["sparsity"] == "0.95"
    assert parameters["training.optimizer"] == "sgd"
    assert parameters["training.optimizer.nesterov"] == "true"

    curve = query(results, "select step, value, timestamp from metrics where key = 'units'")
    spread = [1767323045000 + 7500 * epoch for epoch in range(1, 5)]
    assert sorted(curve) == [(e, 10.0 * e, t) for e, t in zip(range(1, 5), spread, strict=True)]
    # 14 columns beside the epoch, 3 costs, 2 of sparsity, 2 times, 3 final, 3 best
    assert query(results, "select count(*) from metrics") == [(14 * 4 + 3 + 2 + 2 + 3 + 3,)]
    assert query(results, "select value, step from metrics where key = 'best.test_accuracy'") == [
        (0.9, 2)
    ]

    tags = dict(query(results, "select key, value from tags"))
    assert tags["agc.cell"] == cell.name
    assert tags["agc.status"] == "finished"
    assert tags["mlflow.source.git.commit"] == "c0ffee"
    assert tags["provenance.git_dirty"] == "False"
    assert "provenance.torchattacks" not in tags
    assert tags["mlflow.note.content"] == "two dead filters in conv1"

    ((dataset, context),) = query(
        results,
        "select d.name, t.value from datasets d join inputs i on i.source_id = d.dataset_uuid"
        " join input_tags t using (input_uuid)",
    )
    assert (dataset, context) == ("digits", "training")

    kept = results / "mlartifacts" / "demo" / Path(artifacts).parent.name / "artifacts"
    assert {f.name: f.read_bytes() for f in kept.iterdir()} == {
        f.name: f.read_bytes() for f in cell.iterdir()
    }


def test_no_value_leaves_no_point_and_nan_is_kept_as_nan(results: Path) -> None:
    mirror(results, [make_cell(results, seed=1, epochs=3, status="diverged")])
    assert query(results, "select count(*) from metrics where key in ('tau', 'coefficient')") == [
        (0,)
    ]
    assert query(results, "select step, is_nan from metrics where key = 'train_loss'") == [
        (1, 0),
        (2, 0),
        (3, 1),
    ]
    assert query(results, "select count(*) from metrics where key like 'final.%'") == [(0,)]
    tags = dict(query(results, "select key, value from tags"))
    assert (tags["agc.status"], tags["agc.diverged_epoch"]) == ("diverged", "3")
    assert query(results, f"select r.status from {ACTIVE}") == [("FINISHED",)]


def test_what_exceeds_the_limits_of_one_call_or_value(results: Path) -> None:
    options = {f"option{i}": i for i in range(150)} | {"long": "x" * 7000}
    cell = make_cell(results, seed=0, epochs=200, options=options)
    mirror(results, [cell])
    assert query(results, "select count(*) from metrics") == [(14 * 200 + 13,)]
    assert query(results, "select count(*) from params where key like 'objective.option%'") == [
        (150,)
    ]
    ((long,),) = query(results, "select value from params where key = 'objective.long'")
    assert long == "x" * 5999 + "…"
    ((note,),) = query(results, "select value from tags where key = 'mlflow.note.content'")
    assert "objective.long" in note
    assert mirror(results, [cell]).unchanged == 1


@pytest.mark.parametrize("name", ["cell.json", "record.json", "epochs.csv", "train.log"])
def test_digest_tells_records_apart_but_not_places(tmp_path: Path, name: str) -> None:
    cell = make_cell(tmp_path, seed=0)
    first = digest(cell)
    assert digest(Path(shutil.copytree(cell, tmp_path / "copy"))) == first
    (cell / name).write_text((cell / name).read_text() + " ")
    changed = digest(cell)
    (cell / name).unlink()
    assert len({first, changed, digest(cell)}) == 3


def test_flatten_names_leaves_by_their_place() -> None:
    cell = {
        "seed": 3,
        "method": {"name": "rigl", "options": {"a": 1, "b": {"c": [1, 2]}}},
        "training": {"optimizer": {"name": "sgd", "lr": 0.1}, "name": "short"},
        "correction": {"name": "none", "options": {}},
    }
    assert dict(flatten(cell)) == {
        "seed": 3,
        "method": "rigl",
        "method.a": 1,
        "method.b.c": [1, 2],
        "training.optimizer": "sgd",
        "training.optimizer.lr": 0.1,
        "training": "short",
        "correction": "none",
    }
