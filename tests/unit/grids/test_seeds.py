"""Seeds that rows got later: which cells they make, and what of a file is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agc import places
from agc.errors import UserError
from agc.grids import seeds
from agc.grids.cell import Cell, make_cell
from agc.grids.files import Precision
from agc.grids.grid import load_grid
from agc.grids.seeds import arms_of, row_name, rows_of, seeds_path, write_added
from tests.support.precision import write_grid_file

RULE = Precision(half_width=0.5)
LONGER = {
    "dataset": "digits",
    "architecture": "resnet8",
    "method": "rigl",
    "sparsity": 0.9,
    "objective": "standard",
    "correction": "none",
    "seed": [0, 1, 2, 3, 4],
    "training": {"epochs": 27},
}


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    return write_grid_file(tmp_path, include=[LONGER])


def load(path: Path) -> tuple[Cell, ...]:
    return load_grid(str(path)).cells


def changed(cell: Cell, **fields: object) -> Cell:
    return make_cell({**cell.model_dump(mode="json"), **fields})


def test_added_seeds_complete_every_arm_of_their_row_and_touch_no_other(grid: Path) -> None:
    before = load(grid)
    name = row_name(before[0])
    text = grid.read_text()
    write_added(grid, RULE, {name: [5, 6]})
    after = load(grid)
    assert after[: len(before)] == before
    new = after[len(before) :]
    # Plain, corrected, and plain with more epochs: three arms, two seeds.
    assert len(new) == len({cell.slug for cell in new}) == 6
    assert {row_name(cell) for cell in new} == {name}
    arms = arms_of(rows_of(after)[name])
    assert [sorted(cell.seed for cell in arm) for arm in arms] == [list(range(7))] * 3
    assert {cell.slug for cell in new} == {
        changed(arm[0], seed=seed).slug for arm in arms for seed in (5, 6)
    }
    assert grid.read_text() == text
    assert load(grid) == after


def test_a_row_is_what_is_compared(grid: Path) -> None:
    cell = load(grid)[0]
    training = cell.model_dump(mode="json")["training"]
    for same in (
        {"seed": 9},
        {"correction": "svrg"},
        {"training": {**training, "epochs": 99}},
        {"revision": cell.revision + 1},
    ):
        assert row_name(changed(cell, **same)) == row_name(cell)
    for other in (
        {"sparsity": 0.91},
        {"method": "set"},
        {"objective": "pgd-at"},
        {"training": {**training, "batch_size": 32}},
    ):
        assert row_name(changed(cell, **other)) != row_name(cell)


def test_blocks_add_up_in_a_file_that_says_its_rule_and_has_the_same_bytes(grid: Path) -> None:
    one, other = list(rows_of(load(grid)))[:2]
    write_added(grid, RULE, {other: [5], one: [5]})
    write_added(grid, RULE, {one: [6]})
    first = seeds_path(grid).read_bytes()
    content = json.loads(first)
    assert content["rows"] == {one: [5, 6], other: [5]}
    assert "0.5 points" in content["rule"]
    seeds_path(grid).unlink()
    write_added(grid, RULE, {one: [6, 5], other: [5]})
    assert seeds_path(grid).read_bytes() == first


def test_a_rule_that_changes_with_the_results_is_refused(grid: Path) -> None:
    name = row_name(load(grid)[0])
    write_added(grid, RULE, {name: [5]})
    with pytest.raises(UserError, match=r"another rule .*half_width=0\.5.*half_width=0\.4"):
        write_added(grid, Precision(half_width=0.4), {name: [6]})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"rule": "r", "precision": {"half_width": 1}, "rows": {"x": [5]}}', "no row 'x'"),
        ('{"rule": "r", "precision": {"half_width": 1}, "rows": {"x": [-5]}}', "rows.x.0 = -5"),
        ('{"rule": "r", "precision": {"half_width": 1}, "row": {}}', "row"),
        ('{"rule"', "cannot be read as JSON"),
    ],
)
def test_a_file_that_does_not_fit_is_named(grid: Path, content: str, message: str) -> None:
    seeds_path(grid).write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        load(grid)
    assert "test.seeds.json" in str(caught.value)


def test_a_grid_of_the_package_is_left_alone(grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = row_name(load(grid)[0])
    monkeypatch.setattr(seeds, "checkout", lambda: None)
    monkeypatch.setattr(seeds, "home", lambda: grid.parent)
    assert places.home() != grid.parent
    with pytest.raises(UserError, match="copy it"):
        write_added(grid, RULE, {name: [5]})
    assert not seeds_path(grid).exists()


def test_a_row_holds_arms_with_rates_of_their_own(grid: Path) -> None:
    rates = [
        {"where": {"correction": "none"}, "lr": 0.1},
        {"where": {"correction": "agc"}, "lr": 0.03},
    ]
    write_grid_file(grid.parent, seeds=2, methods=["rigl"], sparsities=[0.9], learning_rates=rates)
    cells = load(grid)
    assert len(rows_of(cells)) == 2
    (name,) = rows_of(cells, rates_by_arm=True)
    write_added(grid, RULE, {name: [7]})
    added = load(grid)[len(cells) :]
    found = {(cell.correction.name, cell.training.optimizer.lr, cell.seed) for cell in added}
    assert found == {("none", 0.1, 7), ("agc", 0.03, 7)}
