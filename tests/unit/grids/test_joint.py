"""Joint grids: the cells of several grids, each as it is by itself."""

from __future__ import annotations

import json
from contextlib import chdir
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from agc.errors import UserError
from agc.grids.files import Margin, Precision
from agc.grids.grid import Grid, load_grid
from agc.grids.seeds import rows_of, write_added
from tests.support.command_line import agc
from tests.support.project import GRID, RECIPE

OWN = {"objectives": ["standard"], "seeds": 2}
RATES = [{"where": {"correction": ["none", "agc"]}, "lr": 0.05}]
RULE = Precision(half_width=0.5)
JOINT: dict[str, Any] = {"description": "all of it", "grids": ["core", "more", "slow"]}


def write(folder: Path, kind: str, name: str, content: dict[str, Any]) -> Path:
    path = folder / "workflows" / kind / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A grid, one that shares cells with it, and one with a recipe and rates of its own."""
    longer = {**RECIPE, "training": RECIPE["training"] | {"epochs": 3}}
    write(tmp_path, "recipes", "tiny", RECIPE)
    write(tmp_path, "recipes", "longer", longer)
    write(tmp_path, "grids", "core", GRID | OWN | {"sparsities": [0.9, 0.95]})
    write(tmp_path, "grids", "more", GRID | OWN | {"methods": ["rigl", "set"]})
    slow = {"recipe": "longer", "learning_rates": RATES, "precision": RULE.model_dump()}
    write(tmp_path, "grids", "slow", GRID | OWN | {"methods": ["rigl"]} | slow)
    write(tmp_path, "grids", "all", JOINT)
    return tmp_path


def load(folder: Path, name: str = "all", **changes: Any) -> Grid:
    if changes:
        write(folder, "grids", name, JOINT | changes)
    return load_grid(name, folder / "workflows")


def test_its_cells_are_those_of_its_grids_in_order_and_each_once(folder: Path) -> None:
    grid = load(folder)
    each = {name: load(folder, name) for name in JOINT["grids"]}
    assert grid.members == {name: own.cells for name, own in each.items()}
    assert list(grid.members) == JOINT["grids"]
    every = [cell for own in each.values() for cell in own.cells]
    assert grid.cells == tuple({cell.slug: cell for cell in every}.values())
    shared = len(every) - len(grid.cells)
    assert shared == 4
    told = [(skip.count, skip.what, skip.reason) for skip in grid.skips]
    (own,) = each["core"].skips
    assert told == [
        (own.count, "method dense in core", own.reason),
        (shared, "grid more", "core has them"),
    ]
    assert grid.rates_by_arm == {cell.slug for cell in each["slow"].cells}
    assert {cell.training.optimizer.lr for cell in each["slow"].cells} == {0.05}
    assert (grid.name, grid.learning_rates, grid.file.margin) == ("all", None, Margin())
    assert each["core"].members == {}
    assert load(folder, margin={"accuracy": 0.5}).file.margin.accuracy == 0.5
    assert load_grid(str(grid.path)).cells == grid.cells


def test_later_seeds_of_its_grids_are_in_it(folder: Path) -> None:
    slow = load(folder, "slow")
    (row,) = rows_of(slow.cells, rates_by_arm=True)
    write_added(slow.path, RULE, {row: [5]})
    grid = load(folder)
    assert {cell.seed for cell in grid.members["slow"]} == {0, 1, 5}
    assert {cell.slug for cell in grid.members["slow"]} <= {cell.slug for cell in grid.cells}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(
            ({key: value}, f"'{key}' beside 'grids'")
            for key, value in {
                "methods": ["rigl"],
                "recipe": "tiny",
                "seeds": 2,
                "include": [],
                "exclude": [],
                "sparsities": [0.9],
                "tuning": {"lr": [0.1, 0.2], "seeds": [9]},
                "learning_rates": RATES,
            }.items()
        ),
        ({"grids": ["core", "moor"]}, "grids: unknown grid 'moor'; did you mean 'more'"),
        ({"grids": ["../grids/core"]}, "unknown grid"),
        ({"grids": ["core", "core"]}, "core is given twice"),
        ({"grids": []}, "grids"),
        ({"grids": ["core", "all"]}, "all is a joint grid itself; name its grids instead: core"),
    ],
)
def test_what_is_no_joint_grid_is_refused(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load(folder, "joint", **changes)
    assert "joint.yaml" in str(caught.value)


def test_a_key_that_is_missing_in_one_of_its_grids_is_named_with_its_file(folder: Path) -> None:
    write(folder, "grids", "core", {k: v for k, v in GRID.items() if k != "seeds"})
    with pytest.raises(UserError, match=r"core\.yaml: seeds is missing"):
        load(folder)


def test_the_schema_tells_both_kinds_apart(repository: Path) -> None:
    path = repository / "workflows" / "schemas" / "grid.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(JOINT | {"margin": {"accuracy": 1}}, schema)
    jsonschema.validate(GRID, schema)
    lacking = {key: value for key, value in GRID.items() if key != "seeds"}
    for content in (JOINT | {"seeds": 2}, GRID | JOINT, lacking, {"description": "nothing"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(content, schema)


def test_commands_take_it_where_it_means_something(folder: Path) -> None:
    count = len(load(folder).cells)
    with chdir(folder):
        planned = agc("plan", "all")
        assert f"{count} cells, 0 finished" in planned.out
        assert "left out: 4 of grid more (core has them)" in planned.out
        assert f"0 of {count}" in agc("status", "all").out
        assert "has no key 'tuning'" in agc("tune", "all").message
        extended = agc("plan", "all", "--extend").message
        assert "a joint grid has no rule for more seeds; its grids may have one: core" in extended
        assert "ask one of its grids: core, more, slow" in agc("plan", "all", "--why-not").message
        assert "all" in agc("list", "grids").out
