"""Damaged files of a finished cell: refused by name, never executed, never written over."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agc.errors import UserError
from agc.grids.cell import Cell
from agc.machine.device import Machine
from agc.reports.collect import collect
from agc.runs.evaluate import evaluate_cell
from agc.runs.train import CellRun
from tests.conftest import CellMaker
from tests.support.damage import damaged

JSON = ("cell.json", "training.json", "robustness.json", "record.json")
TABLES = ("epochs.csv", "timings.csv")
# Where the best epoch is the last, as here, the best weights are the same and are not read.
WEIGHTS = ("model.safetensors",)


@pytest.fixture
def folder(undisturbed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(undisturbed, tmp_path / undisturbed.name))


@pytest.fixture(scope="module")
def other(tiny_cell: CellMaker, machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished cell that differs in more than its seed."""
    cell = tiny_cell(architecture={"name": "resnet8", "options": {"width": 5}})
    folder = tmp_path_factory.mktemp("other") / cell.slug
    CellRun(cell, folder, machine).train()
    evaluate_cell(folder, machine)
    return folder


def refusals(folder: Path, cell: Cell, machine: Machine) -> list[str]:
    """What each command that reads a finished cell says against it."""
    commands: list[Callable[[], object]] = [
        lambda: CellRun(cell, folder, machine).train(),
        lambda: evaluate_cell(folder, machine),
        lambda: collect([folder], folder.parent / "out"),
    ]
    said = []
    for command in commands:
        try:
            command()
        except UserError as error:
            said.append(str(error))
    return said


@pytest.mark.parametrize("name", [*JSON, *TABLES, *WEIGHTS])
@pytest.mark.parametrize("how", ["empty", "truncated", "a bit flipped", "a bomb"])
def test_a_damaged_file_is_named_and_not_trained_over(
    cell: Cell, machine: Machine, folder: Path, name: str, how: str
) -> None:
    mark = folder.parent / "ran"
    path = folder / name
    path.write_bytes(damaged(path.read_bytes(), how, mark))
    if name == "record.json":  # only the evaluation would mend it
        with pytest.raises(UserError, match=r"record\.json"):
            collect([folder], folder.parent / "out")
        return
    if name in WEIGHTS:  # they are read where there is no evaluation yet
        (folder / "robustness.json").unlink()
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    said = refusals(folder, cell, machine)
    after = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    assert any(name in line for line in said), said
    assert not any("\n" in line for line in said)
    for kept in {*before} - {"record.json", "robustness.json", "train.log"}:
        assert after[kept] == before[kept]
    assert not mark.exists()


@pytest.mark.parametrize("name", [*JSON, "epochs.csv", "model.safetensors"])
def test_a_file_of_another_cell_is_refused(
    cell: Cell, machine: Machine, folder: Path, other: Path, name: str
) -> None:
    shutil.copy(other / name, folder / name)
    if name == "record.json":
        with pytest.raises(UserError, match="is the record of"):
            collect([folder], folder.parent / "out")
        return
    if name == "model.safetensors":
        (folder / "robustness.json").unlink()
    said = refusals(folder, cell, machine)
    assert any(name in line for line in said), said
    assert (folder / name).read_bytes() == (other / name).read_bytes()
