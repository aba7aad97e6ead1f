"""What a grid's experiment shows first: arms with means and verdicts, and what it is of."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from agc.grids.axes import AXES
from agc.tracking import Front, Grid, default_uri, present
from agc.tracking.view import LIMIT, TAG, columns, view_state
from tests.support.mirrored_grid import CORRECTIONS, METHODS, NAME, SEEDS, mirror_grid
from tests.support.mirrors import ACTIVE, query

pytest.importorskip("mlflow")

ARMS = [f"{method} 95 % · {correction}" for method in METHODS for correction in CORRECTIONS]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> tuple[Path, Front]:
    """A folder of results whose mirror was presented once; tests work on copies of it."""
    folder = tmp_path_factory.mktemp("presented")
    shutil.copy(empty_store, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return folder, mirror_grid(folder)


def the_grid(results: Path) -> Grid:
    folders = sorted((results / "cells").iterdir())
    cells = {
        folder.name: json.loads((folder / "record.json").read_text())["cell"] for folder in folders
    }
    return Grid(NAME, NAME, "does the correction help", cells, folders, results / "report")


def show(results: Path, grid: Grid, write: bool = True) -> Front:
    return present(grid, default_uri(results), results / "mlartifacts", write=write)


def runs(results: Path) -> dict[str, tuple[str, str | None]]:
    """Name of each active run, its identifier and that of its parent."""
    parent = "(select value from tags p where p.run_uuid = r.run_uuid and p.key = '{}')"
    rows = query(
        results,
        f"select r.name, r.run_uuid, {parent.format('mlflow.parentRunId')} from {ACTIVE}"
        " order by r.start_time desc, r.name",
    )
    return {name: (run, above) for name, run, above in rows}


def test_arms_are_parents_with_means_verdicts_and_files(made: tuple[Path, Front]) -> None:
    results, front = made
    assert front.arms == len(ARMS)
    found = runs(results)
    # The page orders runs by their time, the latest first: that of the tables.
    assert list(found)[: len(ARMS)] == ARMS
    for arm in ARMS:
        above, _ = found[arm]
        assert [found[f"{arm} · seed {seed}"][1] for seed in range(SEEDS)] == [above] * SEEDS
    (mean,) = query(results, values(found[ARMS[0]][0], "final.test_accuracy"))
    own = [
        query(results, values(found[f"{ARMS[0]} · seed {seed}"][0], "final.test_accuracy"))[0][0]
        for seed in range(SEEDS)
    ]
    assert mean[0] == pytest.approx(sum(own) / SEEDS, abs=1e-5)
    assert query(results, values(found[ARMS[0]][0], "difference")) == []
    assert len(query(results, values(found[ARMS[1]][0], "difference"))) == 1
    tags = dict(
        query(results, f"select key, value from tags where run_uuid = '{found[ARMS[1]][0]}'")
    )
    assert tags["verdict"]
    data = query(
        results,
        "select d.name from datasets d join inputs i on i.source_id = d.dataset_uuid"
        f" where i.destination_id = '{found[ARMS[1]][0]}'",
    )
    assert data == [("digits",)]
    kept = {path.name for path in (results / "mlartifacts").rglob(f"{found[ARMS[1]][0]}/*/*")}
    assert {"comparison.csv", "comparison.md"} <= kept


def values(run: str, key: str) -> str:
    return f"select value from metrics where run_uuid = '{run}' and key = '{key}'"


def test_the_experiment_says_what_it_asks_and_what_came_out(made: tuple[Path, Front]) -> None:
    (text,) = (
        value
        for (value,) in query(
            made[0], "select value from experiment_tags where key = 'mlflow.note.content'"
        )
    )
    assert text.startswith("Does the correction help.")
    assert "8 of 8 cells, 2 seeds; commit 0123456789ab" in text
    assert "| agc | accuracy | epochs | 2 (4) |" in text


def test_a_second_time_nothing_is_written(made: tuple[Path, Front], tmp_path: Path) -> None:
    results = Path(shutil.copytree(made[0], tmp_path / "copy"))
    # An experiment's artifacts have a fixed place.
    before = runs(results)
    again = show(results, the_grid(results))
    assert (again.arms, again.changed, again.in_step) == (0, 0, True)
    assert runs(results) == before
    assert again.runs == made[1].runs


def test_a_report_of_other_cells_tells_nothing(made: tuple[Path, Front], tmp_path: Path) -> None:
    results = Path(shutil.copytree(made[0], tmp_path / "copy"))
    grid = the_grid(results)
    (results / "report" / "records.parquet").unlink()
    seen = show(results, grid, write=False)
    assert (seen.arms, seen.in_step) == (len(ARMS), False)
    assert runs(results) == runs(made[0])
    assert show(results, grid).arms == len(ARMS)
    found = runs(results)
    # The new arms have taken the places of the old ones, and their cells.
    assert len(found) == len(runs(made[0]))
    assert found[f"{ARMS[0]} · seed 0"][1] == found[ARMS[0]][0]
    assert query(results, values(found[ARMS[1]][0], "difference")) == []
    (text,) = query(results, "select value from experiment_tags where key = 'mlflow.note.content'")
    assert f"`agc compare {NAME}`" in text[0]
    assert show(results, replace(grid, report=None)).in_step


def test_the_view_has_what_the_page_reads(made: tuple[Path, Front]) -> None:
    ((value,),) = query(made[0], f"select value from experiment_tags where key = '{TAG}'")
    assert len(value) <= LIMIT
    state = json.loads(value)
    # A newer page takes it out of the envelope, an older one takes it as it is.
    inner = json.loads(state["state"])
    assert {key: state[key] for key in inner} == inner
    for name in ("metrics.`final.test_accuracy`", "metrics.`difference`", "params.`correction`"):
        assert name in state["selectedColumns"]
    assert "params.`training.optimizer`" in state["selectedColumns"]


def test_a_view_that_is_too_long_is_left_without_its_envelope() -> None:
    many = [f"params.`{index:080}`" for index in range(40)]
    assert "state" not in json.loads(view_state(many))
    assert json.loads(view_state(many))["selectedColumns"] == many
    assert columns([], []) == [
        "tags.`verdict`",
        *(f"params.`{name}`" for name in ("method", "sparsity", "correction", "objective")),
        *(f"params.`{'.'.join(axis.path)}`" for axis in AXES.values() if axis.since),
        *("params.`seed`", "attributes.`Dataset`"),
    ]
