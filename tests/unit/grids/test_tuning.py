"""Learning rates of arms: equal budgets, seeds apart, and rates that reach the cells."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from agc.errors import UserError
from agc.grids.grid import Grid, load_grid
from agc.grids.tuning import arm_of, tuning_name
from tests.support.project import GRID, RECIPE

TUNING = {"lr": [0.3, 0.1, 0.03], "seeds": [100, 101]}
LONGER = {"dataset": "digits", "architecture": "resnet8", "method": "rigl", "sparsity": 0.9}
LONGER |= {"correction": "none", "training": {"epochs": 7}, "seed": [0, 1]}
ARMS = 5
"""Of the grid below: two methods, with and without the correction, and longer plain runs."""


class Files:
    """A grid with its recipe in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for kind in ("grids", "recipes"):
            (folder / kind).mkdir()
        (folder / "recipes" / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))

    def load(self, name: str = "mine", **changes: Any) -> Grid:
        own = {"objectives": ["standard"], "seeds": 2, "include": [LONGER], "tuning": TUNING}
        kept = {
            key: value for key, value in {**GRID, **own, **changes}.items() if value is not None
        }
        (self.folder / "grids" / "mine.yaml").write_text(yaml.safe_dump(kept))
        return load_grid(name, self.folder)

    def rates(self, grid: Grid, **changes: float) -> Path:
        """A file of learning rates for the arms of a grid: of ``none`` and ``agc`` by argument."""
        lines = ["arm,lr,seeds,chosen"]
        for arm, cell in {arm_of(cell): cell for cell in grid.cells}.items():
            if (lr := changes.get(cell.correction.name)) is not None:
                lines += [f"{arm},{lr},100 101,True", f"{arm},9,100 101,False"]
        path = self.folder / "grids" / "rates.csv"
        path.write_text("\n".join(lines) + "\n")
        return path


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_every_arm_has_the_same_rates_and_seeds(files: Files) -> None:
    plain, tuning = files.load(), files.load("mine-tuning")
    assert {arm_of(cell) for cell in tuning.cells} == {arm_of(cell) for cell in plain.cells}
    budget = Counter(arm_of(cell) for cell in tuning.cells)
    assert list(budget.values()) == [len(TUNING["lr"]) * len(TUNING["seeds"])] * ARMS
    tried = {arm: set() for arm in budget}
    for cell in tuning.cells:
        tried[arm_of(cell)].add((cell.training.optimizer.lr, cell.seed))
    assert set(map(frozenset, tried.values())) == {
        frozenset((lr, seed) for lr in TUNING["lr"] for seed in TUNING["seeds"])
    }
    assert len({cell.slug for cell in tuning.cells}) == len(tuning.cells)


def test_it_is_a_grid_by_name_and_by_path(files: Files) -> None:
    by_name = files.load("mine-tuning")
    assert (by_name.name, by_name.path.exists()) == ("mine-tuning", False)
    assert load_grid(str(by_name.path)) == by_name
    assert tuning_name("mine") == "mine-tuning"
    assert tuning_name(str(files.folder / "grids" / "mine.yaml")) == str(by_name.path)
    with pytest.raises(UserError, match=r"mine\.yaml has no key 'tuning'"):
        files.load("mine-tuning", tuning=None)
    with pytest.raises(UserError, match="unknown grid 'other-tuning'"):
        files.load("other-tuning")


def test_the_key_alone_changes_no_cell(files: Files) -> None:
    assert files.load().cells == files.load(tuning=None).cells


def test_recipes_that_differ_in_the_rate_alone_are_one_arm(files: Files) -> None:
    optimizer = {"optimizer": {"lr": 0.7}}
    other = {**RECIPE, "training": RECIPE["training"] | optimizer}
    (files.folder / "recipes" / "fast.yaml").write_text(yaml.safe_dump(other))
    one = files.load("mine-tuning")
    assert files.load("mine-tuning", recipe=["tiny", "fast"]).cells == one.cells


@pytest.mark.parametrize("changes", [{"seeds": [3, 101]}, {"include": [LONGER | {"seed": 101}]}])
@pytest.mark.parametrize("name", ["mine", "mine-tuning"])
def test_a_seed_of_both_is_refused(files: Files, name: str, changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="seed 101 is one of the tuning and one of the grid"):
        files.load(name, **changes)


@pytest.mark.parametrize(
    ("tuning", "message"),
    [
        ({"lr": [0.1]}, "tuning.lr"),
        ({"lr": [0.1, 0.0]}, "tuning.lr.1 = 0.0"),
        ({"lr": [0.1, float("inf")]}, "tuning.lr.1 = inf"),
        ({"lr": [0.1, 0.3, 0.1]}, "0.1 is given twice"),
        ({"seeds": []}, "tuning.seeds"),
        ({"seeds": [100, 100]}, "100 is given twice"),
    ],
)
def test_what_is_no_budget_is_refused(files: Files, tuning: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        files.load(tuning=TUNING | tuning)


def test_each_arm_has_its_rate_and_is_the_cell_of_that_rate(files: Files) -> None:
    before = files.load()
    path = files.rates(before, none=0.1, agc=0.03)
    grid = files.load(learning_rates=path.name)
    assert grid.learning_rates == path
    rates = {(cell.correction.name, cell.training.optimizer.lr) for cell in grid.cells}
    assert rates == {("none", 0.1), ("agc", 0.03)}
    # A recipe that says the same gives the same cells, so their hashes cover the rate.
    optimizer = {"optimizer": {"lr": 0.03}}
    stated = {**RECIPE, "training": RECIPE["training"] | optimizer}
    (files.folder / "recipes" / "stated.yaml").write_text(yaml.safe_dump(stated))
    same = files.load(recipe="stated", corrections=["agc"], include=None).cells
    assert {cell.slug for cell in same} == {
        cell.slug for cell in grid.cells if cell.correction.name == "agc"
    }
    # What chooses rates is not changed by what was chosen.
    assert files.load("mine-tuning", learning_rates=path.name).cells == (
        files.load("mine-tuning").cells
    )


def test_an_arm_without_a_rate_is_named(files: Files) -> None:
    path = files.rates(files.load(), none=0.1)
    with pytest.raises(UserError, match=r"rates.csv: no learning rate for the arm of cell '.*agc"):
        files.load(learning_rates=path.name)
    # It has none as well where the arm is trained in another way than the one that was tuned.
    files.rates(files.load(), none=0.1, agc=0.1)
    with pytest.raises(UserError, match="no learning rate for the arm"):
        files.load(learning_rates=path.name, corrections=[{"name": "agc", "gamma": 0.2}])


def test_seeds_that_chose_rates_elsewhere_are_refused(files: Files) -> None:
    path = files.rates(files.load(), none=0.1, agc=0.1)
    with pytest.raises(UserError, match=r"seed 100 is one of the tuning.*"):
        files.load(learning_rates=path.name, tuning=None, seeds=[100])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "`agc tune GRID` writes such a file"),
        ("arm,lr,chosen\na,1,True\n", "no column 'seeds'"),
        ("arm,lr,seeds,chosen\na,1,5,False\n", "no rate is chosen for arm a"),
        ("arm,lr,seeds,chosen\na,1,5,True\na,2,5,True\n", "line 3: a second rate"),
        ("arm,lr,seeds,chosen\na,-1,5,True\n", "line 2: lr = -1"),
        ("arm,lr,seeds,chosen\na,fast,5,True\n", "line 2: .*'fast'"),
        ("arm,lr,seeds,chosen\n", "it has no row"),
    ],
)
def test_a_file_of_no_use_is_refused(files: Files, text: str | None, message: str) -> None:
    if text is not None:
        (files.folder / "grids" / "rates.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        files.load(learning_rates="rates.csv")


def test_of_some_arms_the_others_keep_the_rates_of_their_recipes(files: Files) -> None:
    whole, where = files.load(), {"correction": "agc"}
    some = TUNING | {"where": where}
    tuning = files.load("mine-tuning", tuning=some)
    assert tuning.cells == tuple(
        cell for cell in files.load("mine-tuning").cells if cell.correction.name == "agc"
    )
    path = files.rates(whole, agc=0.03)  # which has no arm without the correction
    grid = files.load(tuning=some, learning_rates=path.name)
    plain = [cell for cell in whole.cells if cell.correction.name == "none"]
    assert [cell for cell in grid.cells if cell.correction.name == "none"] == plain
    rates = {c.training.optimizer.lr for c in grid.cells if c.correction.name == "agc"}
    assert rates == {0.03}
    # A list is of all cells, whatever is tuned.
    listed = [{"where": {"method": ["dense", "rigl"]}, "lr": 0.05}]
    assert files.load(tuning=some, learning_rates=listed).cells == (
        files.load(learning_rates=listed).cells
    )


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"corection": "agc"}, "tuning: unknown field 'corection'"),
        ({"correction": "svrg"}, "tuning: no cell has correction svrg"),
    ],
)
def test_arms_that_there_are_not_are_not_tuned(
    files: Files, where: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        files.load("mine-tuning", tuning=TUNING | {"where": where})
    assert "mine.yaml" in str(caught.value)


NONE, ONLINE = {"correction": "none"}, {"correction": {"name": "agc", "gamma": 1.0}}
MISSPELT = {"correction": {"name": "agc", "gama": 1.0}}


def test_a_grid_may_list_the_rates_itself_and_the_first_that_matches_counts(files: Files) -> None:
    longer = LONGER | {"correction": {"name": "agc", "gamma": 1.0}}
    listed = [
        {"where": {"correction": "none", "method": "rigl"}, "lr": 0.2},
        {"where": ONLINE, "lr": 0.03},
        {"where": {"correction": ["none", "agc"]}, "lr": 0.05},
    ]
    grid = files.load(learning_rates=listed, include=[longer])
    assert grid.learning_rates is None
    found = {
        (c.method.name, c.correction.name, c.correction.options.get("gamma")): (
            c.training.optimizer.lr
        )
        for c in grid.cells
    }
    assert found == {
        ("dense", "none", None): 0.05,
        ("rigl", "none", None): 0.2,
        ("dense", "agc", 0.1): 0.05,
        ("rigl", "agc", 0.1): 0.05,
        ("rigl", "agc", 1.0): 0.03,
    }
    # A table that says the same makes the same cells.
    same = [{"where": {"correction": "none"}, "lr": 0.1}, {"where": {"sparsity": 0.9}, "lr": 0.03}]
    by_list = files.load(learning_rates=same, methods=["rigl"])
    path = files.rates(files.load(methods=["rigl"]), none=0.1, agc=0.03)
    assert by_list.cells == files.load(learning_rates=path.name, methods=["rigl"]).cells
    assert files.load("mine-tuning", learning_rates=same).cells == files.load("mine-tuning").cells


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ([{"where": NONE, "lr": 0.1}], r"learning_rates: none of 1 matches cell '.*agc\.s0\..*'"),
        ([{"where": {"corection": "none"}, "lr": 1}], "learning_rates: unknown field 'corection'"),
        ([{"where": MISSPELT, "lr": 1}, {"where": NONE, "lr": 1}], "did you mean 'gamma'"),
        ([{"where": NONE, "lr": 0}], "learning_rates.list.0.lr = 0"),
        ([{"where": {}, "lr": 1}], "learning_rates.list.0.where"),
        ([{"where": NONE}], "learning_rates.list.0.lr is missing"),
        ([], "learning_rates.list"),
        (3, "learning_rates.path = 3"),
    ],
)
def test_a_list_of_no_use_is_refused(files: Files, listed: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        files.load(learning_rates=listed)
    assert "mine.yaml" in str(caught.value)
