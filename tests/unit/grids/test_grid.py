from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from agc.errors import UserError
from agc.grids.axes import AXES
from agc.grids.files import Recipe
from agc.grids.grid import Grid, load_grid
from agc.grids.recipes import apply_recipe, merge, read_recipe
from agc.registry import METHODS

RECIPE = {
    "training": {"epochs": 4, "optimizer": {"lr": 0.2, "momentum": 0.8}},
    "evaluation": {"steps": 3},
    "options": {
        "architecture": {"resnet8": {"width": 4}},
        "method": {
            "*": {"update_interval": 7, "distribution": "er"},
            "set": {"drop_fraction": 0.4},
        },
    },
}
GRID = {
    "description": "a test",
    "recipe": "small",
    "datasets": ["digits"],
    "architectures": ["resnet8"],
    "objectives": ["standard"],
    "methods": ["dense", "set", "rigl"],
    "sparsities": [0.8, 0.9],
    "corrections": ["none", "agc"],
    "seeds": 2,
}
CELL = {"dataset": "digits", "architecture": "resnet8"}


@pytest.fixture
def load(tmp_path: Path):
    """Writes a grid and its recipe with changes, and loads it; a change to None removes a key."""

    def write_and_load(recipe_changes: dict | None = None, /, **changes: object) -> Grid:
        for kind, name, content in (
            ("grids", "test", {**GRID, **changes}),
            ("recipes", "small", {**RECIPE, **(recipe_changes or {})}),
        ):
            folder = tmp_path / kind
            folder.mkdir(exist_ok=True)
            kept = {key: value for key, value in content.items() if value is not None}
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(kept))
        return load_grid("test", tmp_path)

    return write_and_load


def test_a_grid_is_the_product_of_its_axes_and_dense_is_one_cell(load) -> None:
    grid = load()
    cells = [(c.method.name, c.sparsity, c.correction.name, c.seed) for c in grid.cells]
    expected = [
        (method, sparsity, correction, seed)
        for method, sparsities in (("dense", [0.0]), ("set", [0.8, 0.9]), ("rigl", [0.8, 0.9]))
        for sparsity in sparsities
        for correction in ("none", "agc")
        for seed in (0, 1)
    ]
    assert cells == expected
    assert len({cell.slug for cell in grid.cells}) == 20
    (skip,) = grid.skips  # dense at the second sparsity: 2 corrections × 2 seeds
    assert (skip.count, skip.what) == (4, "method dense")


def test_the_recipe_reaches_the_cells_and_the_grid_overrides_it(load) -> None:
    methods = ["dense", "set", {"name": "rigl", "update_interval": 9}]
    grid = load(methods=methods, seeds=[5])
    by_method = {cell.method.name: cell for cell in grid.cells}
    assert by_method["set"].method.options["update_interval"] == 7
    assert by_method["set"].method.options["drop_fraction"] == 0.4
    assert by_method["set"].method.options["distribution"] == "er"
    assert by_method["rigl"].method.options["update_interval"] == 9
    assert by_method["rigl"].method.options["drop_fraction"] == 0.3
    assert by_method["dense"].method.options == {}
    for cell in grid.cells:
        assert cell.seed == 5
        assert cell.architecture.options == {"width": 4}
        assert (cell.training.epochs, cell.evaluation.steps) == (4, 3)
        assert cell.training.optimizer.momentum == 0.8
        assert cell.training.optimizer.weight_decay == 5e-4


def test_excluded_cells_are_counted_with_their_reason(load) -> None:
    where = {"method": ["set", "rigl"], "sparsity": 0.9, "seed": 1}
    grid = load(exclude=[{"where": where, "reason": "too slow"}])
    assert len(grid.cells) == 20 - 4
    assert not any(c.sparsity == 0.9 and c.seed == 1 for c in grid.cells)
    skip = next(skip for skip in grid.skips if skip.reason == "too slow")
    assert skip.count == 4
    assert "sparsity 0.9" in skip.what


def test_an_exclusion_may_name_the_options_of_an_entry(load) -> None:
    corrections = ["none", {"name": "agc", "gamma": 0.3}, "agc"]
    wanted = {"name": "agc", "gamma": 0.3}
    grid = load(
        corrections=corrections,
        exclude=[{"where": {"method": "dense", "correction": wanted}, "reason": "one is enough"}],
    )
    dense = [c.correction for c in grid.cells if c.method.name == "dense" and c.seed == 0]
    assert [(c.name, c.options.get("gamma")) for c in dense] == [("none", None), ("agc", 0.1)]
    assert len(grid.cells) == 5 * 3 * 2 - 2
    with pytest.raises(UserError, match=r"test\.yaml: unknown option of correction 'agc' 'gama'"):
        load(exclude=[{"where": {"correction": {"name": "agc", "gama": 1}}, "reason": "typo"}])


def test_an_optimizer_is_an_axis_with_settings_of_its_own(load) -> None:
    slow = {"name": "adamw", "lr": 0.01, "betas": [0.8, 0.99]}
    grid = load(
        optimizers=["sgd", slow], exclude=[{"where": {"optimizer": slow, "seed": 1}, "reason": "x"}]
    )
    found = {(c.training.optimizer.name, c.training.optimizer.lr, c.seed) for c in grid.cells}
    assert found == {("sgd", 0.2, 0), ("sgd", 0.2, 1), ("adamw", 0.01, 0)}
    assert {tuple(c.training.optimizer.options) for c in grid.cells} == {(), ("betas",)}


def test_included_cells_come_on_top_and_duplicates_are_told(load) -> None:
    again = {**CELL, "method": "rigl", "sparsity": 0.9, "correction": "agc", "seed": 1}
    longer = {**again, "training": {"epochs": 9}}
    grid = load(include=[longer, again, {**again, "seed": 7}])
    assert len(grid.cells) == 22
    assert grid.cells[20].training.epochs == 9
    assert grid.cells[20].training.optimizer.lr == 0.2
    assert grid.cells[21].seed == 7
    duplicate = next(skip for skip in grid.skips if skip.reason == "a duplicate")
    assert duplicate.count == 1
    assert duplicate.what == grid.cells[19].slug


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metods": ["set"]}, "unknown key 'metods'; did you mean 'methods'"),
        ({"methods": None}, "methods is missing"),
        ({"methods": []}, "methods = []"),
        ({"methods": "set"}, "methods = 'set'"),
        ({"methods": ["rigll"]}, "unknown method 'rigll'; did you mean 'rigl'"),
        ({"methods": [{"options": {}}]}, "neither a name nor a mapping with a name"),
        ({"methods": [{"name": "set", "options": None}]}, "method.options = None: expected keys"),
        ({"methods": [{"name": ["set"]}]}, "neither a name nor a mapping with a name"),
        ({"methods": [{"name": "set", "interval": 3}]}, "unknown option of method 'set'"),
        ({"corrections": ["agcc"]}, "unknown correction 'agcc'; did you mean 'agc'"),
        ({"architectures": ["resnet_8"]}, "unknown architecture 'resnet_8'"),
        ({"datasets": ["cifar"]}, "unknown dataset 'cifar'"),
        ({"sparsities": [1.2]}, "sparsity = 1.2"),
        ({"sparsities": []}, "method 'set' needs a sparsity above 0"),
        ({"seeds": 0}, "no cell is left"),
        ({"seeds": "three"}, "seeds"),
        ({"exclude": [{"where": {"seed": [0, 1]}, "reason": "all"}]}, "no cell is left"),
        ({"exclude": [{"where": {"seed": 0}}]}, "exclude.0.reason is missing"),
        (
            {"exclude": [{"where": {"method": "lottery", "sead": 0}, "reason": "x"}]},
            "exclude: unknown field 'sead'; did you mean 'seed'",
        ),
        ({"include": [{**CELL, "metod": "set"}]}, "unknown key 'metod'"),
        ({"include": [{"dataset": "digits"}]}, "architecture is missing"),
        ({"include": [{"method": 3}]}, "method: 3 is neither a name nor"),
        ({"include": [{**CELL, "training": 5}]}, "training = 5"),
        ({"recipe": 5}, "recipe.str = 5"),
        ({"reference": {"machine": "x"}}, "reference.seconds_per_unit is missing"),
    ],
)
def test_a_mistake_in_a_grid_is_one_line_that_names_the_file(
    load, tmp_path: Path, changes: dict, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        load(**changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "grids" / "test.yaml") in str(caught.value)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"trainin": {}}, "small.yaml: unknown key 'trainin'; did you mean 'training'"),
        ({"options": {"metod": {}}}, "small.yaml: options: unknown axis 'metod'"),
        ({"training": {"epoch": 3}}, "small.yaml: unknown key 'training.epoch'"),
        ({"training": {"optimizer": 5}}, "small.yaml: training.optimizer = 5"),
        ({"training": None, "evaluation": [1]}, "small.yaml: evaluation = [1]"),
        (
            {"options": {"method": {"set": {"interval": 3}}}},
            "small.yaml: options: unknown option of method 'set' 'interval'",
        ),
        (
            {"options": {"method": {"sett": {"update_interval": 3}}}},
            "small.yaml: options: unknown method 'sett'; did you mean 'set'",
        ),
        (
            {"options": {"method": {"*": {"update_intervall": 3}}}},
            "unknown option of method '*' 'update_intervall'; did you mean 'update_interval'",
        ),
    ],
)
def test_a_mistake_in_a_recipe_is_one_line_that_names_the_file(load, recipe, message) -> None:
    with pytest.raises(UserError) as caught:
        load(recipe)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a\n", "a: [", "\tb: 1", "a: !!python/object:os.system x"])
def test_a_file_that_is_no_mapping_is_named_and_runs_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"^\S*bad\.yaml: [^\n]+$"):
        load_grid(str(path))
    with pytest.raises(UserError, match=r"^\S*bad\.yaml: [^\n]+$"):
        read_recipe(path)


def test_an_unknown_file_is_answered_with_those_that_there_are(load, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown recipe 'smal'; did you mean 'small'"):
        load(recipe="smal")
    with pytest.raises(UserError, match="unknown grid 'tset'; did you mean 'test'"):
        load_grid("tset", tmp_path)
    with pytest.raises(UserError, match=r"nowhere\.yaml does not exist"):
        load_grid(str(tmp_path / "nowhere.yaml"))


def test_merging_goes_into_nested_values() -> None:
    below, above = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"c": 4}, "d": {"e": 5}}
    assert merge(below, above) == {"a": {"b": 1, "c": 4}, "d": {"e": 5}}


def test_every_committed_grid_holds_each_combination_of_its_axes_once(
    repository: Path,
) -> None:
    paths = sorted(repository.glob("workflows/grids/*.yaml"))
    assert paths
    for path in paths:
        grid = load_grid(str(path))
        assert grid.cells
        if grid.members:  # they are committed grids themselves
            continue
        for cell in grid.cells:
            assert METHODS[cell.method.name].target.sparse == (cell.sparsity > 0)
        combinations = len(grid.cells) + sum(skip.count for skip in grid.skips)
        product = grid.file.seeds if isinstance(grid.file.seeds, int) else len(grid.file.seeds)
        for axis in AXES:
            product *= len(grid.file.entries(axis)) or 1
        product *= max(1, len(grid.file.sparsities))
        product *= 1 if isinstance(grid.file.recipe, str) else len(grid.file.recipe)
        for fields in grid.file.include:
            product += math.prod(len(v) for v in fields.values() if isinstance(v, list))
        assert combinations == product


def test_planning_the_default_grid_imports_neither_torch_nor_timm(repository: Path) -> None:
    code = (
        "import sys\n"
        "from agc.grids.grid import load_grid\n"
        "grid = load_grid('digits')\n"
        "assert len({cell.slug for cell in grid.cells}) == len(grid.cells) > 50\n"
        "heavy = {'torch', 'timm', 'mlflow', 'matplotlib', 'pandas', 'sklearn', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=repository, check=True
    )
    assert done.stdout.strip() == "[]"


def test_applying_a_recipe_leaves_it_as_it_was() -> None:
    fields = {"method": {"name": "set", "options": {"update_interval": 1}}, "seed": 0}
    recipe = Recipe.model_validate(RECIPE)
    applied = apply_recipe(fields, recipe)
    assert applied["method"]["options"] == {
        "update_interval": 1,
        "distribution": "er",
        "drop_fraction": 0.4,
    }
    assert recipe == Recipe.model_validate(RECIPE)
    assert fields["method"]["options"] == {"update_interval": 1}


def test_a_grid_takes_no_images_that_are_made_up(load) -> None:
    with pytest.raises(UserError, match="dataset 'synthetic' is made up for tests and benchmarks"):
        load(datasets=["digits", "synthetic"])
