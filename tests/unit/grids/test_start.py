"""What a cell starts from is part of its hash, by its content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from agc.architectures.shared import pretrained as timms
from agc.architectures.shared.pretrained import content_digest
from agc.errors import UserError
from agc.grids.cell import Cell, make_cell, read_cell, sources
from agc.grids.grid import Grid, load_grid
from agc.grids.start import Start, described, file_digest
from agc.reports.labels import label_cells
from tests.conftest import CellMaker

pytestmark = pytest.mark.usefixtures("here")


def weights(name: str, value: float = 1.0) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"weight": torch.full((3,), value)}, path)
    return path


def starting(make: CellMaker, **start: Any) -> Cell:
    return make(training={"start": start})


def test_a_file_is_known_by_its_content_and_not_by_its_place(tiny_cell: CellMaker) -> None:
    one, same = weights("one.safetensors"), weights("else/where.safetensors")
    other = weights("other.safetensors", 2.0)
    cells = [starting(tiny_cell, file=str(path)) for path in (one, same, other)]
    assert cells[0].slug == cells[1].slug
    assert len({cell.slug for cell in (*cells, tiny_cell())}) == 3
    assert cells[0].training.start.digest == file_digest(one)
    named = starting(tiny_cell, file=str(one), name="a name for tables")
    assert named.slug == cells[0].slug
    assert starting(tiny_cell, file=str(one), head="new").slug != cells[0].slug


def test_a_described_cell_needs_its_file_only_when_it_is_trained(tiny_cell: CellMaker) -> None:
    path = weights("one.safetensors")
    cell = starting(tiny_cell, file=str(path))
    cell.write(Path("cell"))
    path.unlink()
    assert read_cell(Path("cell/cell.json")).slug == cell.slug


def test_a_checkpoint_of_timm_is_known_by_its_tensors(
    tiny_cell: CellMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"weight": torch.arange(3.0), "count": torch.tensor(2)}
    monkeypatch.setattr("agc.grids.start.pretrained", lambda name: state)
    cell = starting(tiny_cell, timm="resnet18.a1_in1k")
    assert cell.training.start.digest == content_digest(state)
    # Names, types, shapes and values count; the order of the tensors does not.
    assert content_digest(dict(reversed(state.items()))) == content_digest(state)
    changed = [
        {**state, "weight": torch.arange(1.0, 4.0)},
        {**state, "weight": torch.arange(3.0).reshape(3, 1)},
        {**state, "weight": torch.arange(3.0).double()},
        {"other": state["weight"], "count": state["count"]},
    ]
    assert len({content_digest(one) for one in (state, *changed)}) == 5


def test_a_checkpoint_that_timm_has_not_or_cannot_load_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UserError, match=r"training\.start: .*no checkpoint|unknown checkpoint"):
        starting_from_timm("resnet18.nowhere")

    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("no network\nand more")

    monkeypatch.setattr("timm.create_model", offline)
    with pytest.raises(UserError, match=r"cannot be had here \(no network\).*start\.file"):
        starting_from_timm("resnet18.a1_in1k")
    timms.pretrained.cache_clear()


def starting_from_timm(name: str) -> Cell:
    fields = {"dataset": "digits", "architecture": "resnet18"}
    return make_cell({**fields, "training": {"start": {"timm": name}}})


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ({}, "none of them"),
        ({"file": "a", "timm": "b", "digest": 64 * "0"}, "file and timm"),
        ({"file": "nowhere.safetensors"}, "nowhere.safetensors: No such file"),
        ({"file": "a", "digest": "abc"}, "digest"),
        ({"file": "a", "digest": 64 * "0", "head": "other"}, "head"),
        ({"cell": {"dataset": "mars", "architecture": "resnet8"}}, "mars"),
    ],
)
def test_a_start_that_makes_no_sense_is_refused(
    tiny_cell: CellMaker, start: dict, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        starting(tiny_cell, **start)


def test_another_cell_is_known_by_its_whole_description(tiny_cell: CellMaker) -> None:
    content = tiny_cell(seed=3).model_dump(mode="json")
    fixed = starting(tiny_cell, cell=content)
    assert fixed.source == tiny_cell(seed=3)
    loose = {key: value for key, value in content.items() if key != "seed"}
    for seed in (0, 5):
        cell = tiny_cell(seed=seed, training={"start": {"cell": loose}})
        assert cell.source == tiny_cell(seed=seed)
    other = {**content, "correction": "agc"}
    slugs = {starting(tiny_cell, cell=one).slug for one in (content, loose, other)}
    assert len(slugs) == 3
    # Options that are left out are the defaults, as everywhere.
    short = {**content, "architecture": "resnet8", "method": "dense"}
    whole = starting(tiny_cell, cell=short).training.start.cell
    assert whole["architecture"] == {"name": "resnet8", "options": {}}


def test_a_chain_of_starts_ends_with_the_first_cell(tiny_cell: CellMaker) -> None:
    first = tiny_cell(seed=1)
    second = starting(tiny_cell, cell=first.model_dump(mode="json"))
    third = starting(tiny_cell, cell=second.model_dump(mode="json"))
    assert [cell.slug for cell in sources(third)] == [second.slug, first.slug]
    assert list(sources(first)) == []


RECIPES = {
    "before": {"training": {"epochs": 3}, "options": {"architecture": {"resnet8": {"width": 4}}}},
    "after": {
        "training": {
            "epochs": 5,
            "start": {"cell": {"recipe": "before", "dataset": {"name": "digits", "only": [0, 1]}}},
        },
        "options": {"architecture": {"resnet8": {"width": 4}}},
    },
}
GRID = {
    "description": "fine-tuning",
    "recipe": "after",
    "datasets": ["digits"],
    "architectures": ["resnet8"],
    "objectives": ["standard"],
    "methods": ["dense", "static"],
    "sparsities": [0.5],
    "corrections": ["none"],
    "seeds": 2,
}


def load(**changes: Any) -> Grid:
    for kind, files in (("recipes", RECIPES), ("grids", {"test": {**GRID, **changes}})):
        Path(kind).mkdir(exist_ok=True)
        for name, content in files.items():
            Path(kind, f"{name}.yaml").write_text(yaml.safe_dump(content))
    return load_grid("test", Path())


def test_a_grid_has_the_cells_that_others_start_from_before_them() -> None:
    cells = list(load().cells)
    assert len(cells) == 2 * 2 + 2
    for cell in cells:
        if cell.source is None:
            assert cell.training.epochs == 3
            assert cell.dataset.options["only"] == [0, 1]
            assert cell.method.name == "dense"
        else:
            assert cells.index(cell.source) < cells.index(cell)
            assert cell.source.seed == cell.seed
            assert cell.source.architecture == cell.architecture


def test_a_grid_may_name_the_description_of_a_cell() -> None:
    cell = load().cells[0]
    cell.write(Path("there"))
    fields = {"dataset": "digits", "architecture": "resnet8"}
    named = load(include=[{**fields, "training": [{"start": {"cell": "there"}}]}])
    (found,) = [c for c in named.cells if c.source is not None and "seed" in c.training.start.cell]
    assert found.source == cell
    with pytest.raises(UserError, match="nowhere"):
        load(include=[{**fields, "training": [{"start": {"cell": "nowhere"}}]}])


def test_tables_call_a_start_by_its_name_or_what_it_is(tiny_cell: CellMaker) -> None:
    path = weights("one.safetensors")
    content = tiny_cell().model_dump(mode="json")
    del content["seed"]
    cells = [
        tiny_cell(),
        starting(tiny_cell, file=str(path)),
        *(
            tiny_cell(seed=k, training={"start": {"cell": content, "name": "half", "head": "new"}})
            for k in (0, 1)
        ),
    ]
    labels = label_cells([cell.model_dump(mode="json") for cell in cells])
    recipes = [label["recipe"] for label in labels]
    assert recipes[0] == ""
    assert recipes[1] == "start=one.safetensors"
    # The seeds of an arm have one name, though each starts from a cell of its own.
    assert recipes[2] == recipes[3] == "start=half, new head"
    bare = Start(cell=content).model_dump(mode="json")
    assert described(bare).startswith("cell ")
