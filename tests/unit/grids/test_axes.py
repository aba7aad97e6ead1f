"""The table of axes: a new axis is a folder and its lines in one file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agc.grids.axes import AXES
from agc.grids.cell import make_cell

FOLDER = {
    "__init__.py": '''"""Axis of flavours: one file a flavour."""

from agc.registry import Registry

FLAVOURS = Registry("flavour", "agc.flavours")
''',
    "plain.py": '''from agc.flavours import FLAVOURS


@FLAVOURS.register("plain")
def plain() -> None:
    """No flavour at all."""
''',
    "strong.py": '''from agc.flavours import FLAVOURS


@FLAVOURS.register("strong", source="a cook")
class Strong:
    """Much flavour."""

    def __init__(self, *, strength: int = 3) -> None:
        self.strength = strength

    @classmethod
    def refuse(cls, cell, **options):
        return "it spoils rigl" if cell.method.name == "rigl" else None
''',
}
LINES = {
    "from agc.architectures import": "from agc.flavours import FLAVOURS\n",
    '        Axis("dataset"': (
        '        Axis("flavour", FLAVOURS, "plain", since="0.3", help="Flavour."),\n'
    ),
}
GRID = """description: tastes
recipe: digits
datasets: [digits]
architectures: [resnet8]
objectives: [standard]
methods: [dense, set]
sparsities: [0.9]
corrections: [none, agc]
flavours: [plain, {name: strong, strength: 5}]
seeds: 2
exclude:
  - {where: {flavour: strong, method: set, seed: 1}, reason: too much}
"""
SCRIPT = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from agc.cli import main
from agc.errors import UserError
from agc.grids.cell import make_cell
from agc.grids.files import Recipe
from agc.grids.grid import load_grid
from agc.grids.options import cell_from_options
from agc.planning.compatibility import refusals
from agc.records.schema import _validator
from agc.reports.compare import compare
from agc.reports.labels import label_cells
from agc.tracking.content import read_parameters
from tests.support.records import collected, entry, write_cell


def refused(**fields: Any) -> str:
    try:
        make_cell({"dataset": "digits", "architecture": "resnet8", **fields})
    except UserError as error:
        return str(error)
    return ""


def rows(folder: Path, flavours: list[str]) -> list[list[str]]:
    folders = []
    for flavour in flavours:
        for correction in ("none", "agc"):
            more = {} if flavour == "plain" else {"flavour": entry(flavour)}
            folders.append(write_cell(folder / "cells", correction=entry(correction), **more))
    main = compare(*collected(folders, folder / "out")).main
    return [main.columns.tolist()[:8], *main.iloc[:, :8].astype(str).values.tolist()]


found: dict[str, Any] = {}
usual = make_cell({"dataset": "digits", "architecture": "resnet8"})
strong = make_cell({"dataset": "digits", "architecture": "resnet8", "flavour": "strong"})
found["slugs"] = [usual.slug, strong.slug]
named = {"dataset": "digits", "architecture": "resnet8", "flavour": "plain"}
found["named"] = make_cell(named).slug
found["dumps"] = [cell.model_dump(mode="json").get("flavour") for cell in (usual, strong)]
grid = load_grid("grid.yaml")
found["grid"] = [(c.method.name, c.flavour.name, c.flavour.options, c.seed) for c in grid.cells]
found["skips"] = [skip.count for skip in grid.skips]
labels = label_cells([cell.model_dump() for cell in grid.cells])
found["labels"] = [label.get("flavour") for label in labels]
found["no labels"] = "flavour" in label_cells([usual.model_dump()])[0]
options = {"dataset": "digits", "architecture": "resnet8", "flavour": "strong"}
made = cell_from_options(options, None, None, [("flavour.options.strength", 7)])
found["options"] = made.flavour.options
spoilt = {"flavour": "strong", "method": "rigl", "sparsity": 0.9}
found["refused"] = [refused(flavour="stron"), refused(**spoilt)]
found["why not"] = [(r.entry, r.with_what, r.reason) for r in refusals("grid.yaml")]
found["schema"] = _validator().schema["properties"]["cell"]["properties"]["flavour"]
found["required"] = "flavour" in _validator().schema["properties"]["cell"]["required"]
found["rows"] = rows(Path("one"), ["plain", "strong"])
found["old rows"] = rows(Path("two"), ["plain"])
found["parameters"] = [read_parameters(c.model_dump())["flavour"] for c in (usual, strong)]
from agc.records.checkpoint import _parts
state = SimpleNamespace(state_dict=dict)
found["checkpoint"] = sorted(_parts(SimpleNamespace(flavour=state, method=state)))
Path("found.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with one more axis: a folder, and two lines in the table's file."""
    repository = Path(__file__).parents[3]
    folder = tmp_path_factory.mktemp("kitchen")
    shutil.copytree(repository / "agc", folder / "agc", ignore=shutil.ignore_patterns("__pyc*"))
    (folder / "workflows").symlink_to(repository / "workflows")
    (folder / "grid.yaml").write_text(GRID)
    (folder / "agc" / "flavours").mkdir()
    for name, content in FOLDER.items():
        (folder / "agc" / "flavours" / name).write_text(content)
    table = folder / "agc" / "grids" / "axes.py"
    text = table.read_text()
    for place, line in LINES.items():
        assert text.count(place) == 1
        text = text.replace(place, line + place)
    table.write_text(text)
    return folder


def run(kitchen: Path, *command: str) -> str:
    paths = os.pathsep.join([str(kitchen), str(Path(__file__).parents[3])])
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        cwd=kitchen,
        env={**os.environ, "PYTHONPATH": paths, "COLUMNS": "120"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def found(kitchen: Path) -> dict[str, Any]:
    run(kitchen, "-c", SCRIPT)
    return json.loads((kitchen / "found.json").read_text())


def test_cells_without_it_stay_what_they_are(found: dict[str, Any]) -> None:
    slug = make_cell({"dataset": "digits", "architecture": "resnet8"}).slug
    assert found["slugs"][0] == found["named"] == slug
    assert found["dumps"] == [None, {"name": "strong", "options": {"strength": 3}}]
    readable = found["slugs"][1].rsplit(".", 2)[0]
    assert sorted(readable.split(".")) == sorted([*slug.split(".")[:-2], "strong"])


def test_a_grid_takes_its_product_and_may_exclude_some(found: dict[str, Any]) -> None:
    assert len(found["grid"]) == 2 * 2 * 2 * 2 - 2
    flavours = {(name, json.dumps(options)) for _, name, options, _ in found["grid"]}
    assert flavours == {("plain", "{}"), ("strong", '{"strength": 5}')}
    assert found["skips"] == [2]
    assert ["set", "strong", {"strength": 5}, 1] not in found["grid"]


def test_commands_know_it(kitchen: Path, found: dict[str, Any]) -> None:
    assert "--flavour" in run(kitchen, "-m", "agc", "train", "--help")
    listed = run(kitchen, "-m", "agc", "list", "flavours")
    assert "Much flavour. strength=3" in " ".join(listed.split())
    assert "a cook" in listed
    shown = run(kitchen, "-m", "agc", "plan", "grid.yaml")
    assert "flavour" in shown
    assert found["options"] == {"strength": 7}


def test_its_entries_may_refuse(kitchen: Path, found: dict[str, Any]) -> None:
    assert "unknown flavour 'stron'; did you mean 'strong'" in found["refused"][0]
    assert "flavour 'strong': it spoils rigl" in found["refused"][1]
    assert ["flavour strong", "method rigl", "flavour 'strong': it spoils rigl"] in found["why not"]
    assert "flavour strong with method rigl" in run(
        kitchen, "-m", "agc", "plan", "grid.yaml", "--why-not"
    )


def test_labels_and_tables_have_it_where_it_says_something(found: dict[str, Any]) -> None:
    assert set(found["labels"]) == {"plain", "strong"}
    assert not found["no labels"]
    columns, *rows = found["rows"]
    assert columns.index("flavour") < columns.index("correction")
    assert {row[columns.index("flavour")] for row in rows} == {"plain", "strong"}
    assert len(rows) == 2
    assert "flavour" not in found["old rows"][0]


def test_records_checkpoints_and_mlflow_have_it(found: dict[str, Any]) -> None:
    assert found["schema"] == {"$ref": "#/$defs/entry"}
    assert not found["required"]
    assert found["parameters"] == ["plain", "strong"]
    assert found["checkpoint"] == ["flavour", "method"]


def test_the_table_says_where_each_axis_stands() -> None:
    assert [axis.plural for axis in AXES.values()] == [
        *("datasets", "architectures", "objectives", "methods", "corrections", "optimizers"),
        "quantizations",
        "communication",
    ]
    cell = make_cell({"dataset": "digits", "architecture": "resnet8"})
    data = cell.model_dump(mode="json")
    for axis in AXES.values():
        assert axis.dumped(data)["name"] == axis.of(cell).name
