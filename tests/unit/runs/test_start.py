"""Cells that start from another one, from a file, or from a checkpoint of timm's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from agc.architectures.shared.pretrained import content_digest
from agc.errors import UserError
from agc.files import read_json
from agc.grids.cell import Cell
from agc.machine.device import Machine
from agc.records.weights import read_weights
from agc.runs.start import find_start
from agc.runs.train import CellRun
from tests.conftest import CellMaker


@pytest.fixture(scope="module")
def source(tmp_path_factory, tiny_cell: CellMaker, machine: Machine) -> tuple[Cell, Path]:
    """A trained cell, and the folder of its folder."""
    cells = tmp_path_factory.mktemp("cells")
    cell = tiny_cell(seed=4, training={"epochs": 1})
    CellRun(cell, cells / cell.slug, machine).train()
    return cell, cells


def after(make: CellMaker, source: Cell, **training: object) -> Cell:
    start = {"cell": source.model_dump(mode="json")}
    return make(seed=0, training={"start": start, **training})


def test_a_cell_goes_on_from_the_last_weights_of_another(
    source: tuple[Cell, Path], tiny_cell: CellMaker, machine: Machine
) -> None:
    first, cells = source
    cell = after(tiny_cell, first)
    state, masks = read_weights(cells / first.slug / "model.safetensors")
    found = find_start(cell, cells)
    assert found is not None
    assert found.state.keys() == state.keys()
    assert all(torch.equal(found.state[name], state[name]) for name in state)
    assert CellRun(cell, cells / cell.slug, machine).train() == "finished"
    told = read_json(cells / cell.slug / "training.json")["provenance"]["start"]
    assert told == content_digest(state) == found.digest
    assert masks
    plain = tiny_cell(seed=0)
    CellRun(plain, cells / plain.slug, machine).train()
    assert "start" not in read_json(cells / plain.slug / "training.json")["provenance"]
    one, other = (read_weights(cells / c.slug / "model.safetensors")[0] for c in (cell, plain))
    assert not torch.equal(one["net.fc.weight"], other["net.fc.weight"])


def test_a_source_that_is_not_trained_is_named(
    source: tuple[Cell, Path], tiny_cell: CellMaker, tmp_path: Path, machine: Machine
) -> None:
    cell = after(tiny_cell, source[0])
    with pytest.raises(UserError, match=f"starts from the weights of {source[0].slug}"):
        CellRun(cell, tmp_path / cell.slug, machine).train()


def test_a_file_may_be_a_cell_s_or_a_plain_one_and_must_stay_the_same(
    source: tuple[Cell, Path], tiny_cell: CellMaker, tmp_path: Path
) -> None:
    first, cells = source
    theirs = cells / first.slug / "model.safetensors"
    state, _ = read_weights(theirs)
    plain = tmp_path / "plain.safetensors"
    save_file(state, plain)
    for path in (theirs, plain):
        cell = tiny_cell(training={"start": {"file": str(path)}})
        found = find_start(cell, tmp_path)
        assert found is not None
        assert all(torch.equal(found.state[name], state[name]) for name in state)
    save_file({"weight": torch.zeros(2)}, plain)
    with pytest.raises(UserError, match=r"another content than when digits\..* was planned"):
        find_start(cell, tmp_path)


def test_a_checkpoint_of_timm_is_looked_at_again(
    tiny_cell: CellMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"weight": torch.arange(3.0)}
    monkeypatch.setattr("agc.runs.start.pretrained", lambda name: state)
    known = {"timm": "resnet18.a1_in1k", "digest": content_digest(state)}
    found = find_start(tiny_cell(training={"start": known}), tmp_path)
    assert found is not None
    assert found.state is state
    other = tiny_cell(training={"start": {**known, "digest": 64 * "0"}})
    with pytest.raises(UserError, match="another content"):
        find_start(other, tmp_path)


def test_a_cell_without_a_start_has_none(tiny_cell: CellMaker, tmp_path: Path) -> None:
    assert find_start(tiny_cell(), tmp_path) is None
