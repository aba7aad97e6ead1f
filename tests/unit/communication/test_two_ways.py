"""Workers that are simulated in one process, and workers in processes of their own, agree."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from agc.grids.cell import Cell, make_cell
from tests.conftest import CellMaker
from tests.support.processes import result_of, train_together

RIGL = {"method": {"name": "rigl", "options": {"update_interval": 2}}, "sparsity": 0.8}

ROUNDING = 2e-4
"""After eight steps in float32."""


def talk(name: str, **options: Any) -> dict[str, Any]:
    return {"communication": {"name": name, "options": options}}


SETTINGS: dict[str, dict[str, Any]] = {
    "all-reduce, attacked": {**talk("all-reduce", workers=2), "objective": "pgd-at"},
    "two workers a process, corrected": {
        **talk("ef", compressor="top-k", two_way=True, average=3),
        **RIGL,
        "correction": "agc",
    },
    "signs, ahead": {**talk("saef", workers=2, two_way=True, start="zero"), **RIGL},
    "used elsewhere": {**talk("def", workers=2, compressor="random-block", ratio=0.2), **RIGL},
    "extrapolated": talk("local-extragradient", workers=2, source="noise"),
}


@pytest.fixture(scope="module")
def cells(tiny_cell: CellMaker) -> list[Cell]:
    training = {"devices": 2, "optimizer": {"nesterov": False, "lr": 0.05}}
    return [tiny_cell(training, **fields) for fields in SETTINGS.values()]


@pytest.fixture(scope="module")
def together(cells: list[Cell], tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    return train_together(cells, tmp_path_factory.mktemp("processes"))


def alone(cell: Cell) -> Cell:
    """The same with all workers in one process."""
    fields = cell.model_dump()
    fields["training"]["devices"] = 1
    return make_cell(fields)


def apart(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The largest difference of a weight or a running statistic."""
    return max(
        float((tensor.double() - other[name].double()).abs().max()) for name, tensor in one.items()
    )


@pytest.mark.parametrize("number", range(len(SETTINGS)), ids=list(SETTINGS))
def test_masks_and_weights_are_the_same_but_for_rounding(
    number: int, cells: list[Cell], together: list[list[Any]]
) -> None:
    here = result_of(alone(cells[number]))
    for process in together:
        there, _ = process[number]
        for name, mask in here["masks"].items():
            assert torch.equal(mask, there["masks"][name]), name
        assert apart(here["weights"], there["weights"]) < ROUNDING
        assert here["loss"].item() == pytest.approx(there["loss"].item(), abs=ROUNDING)
        assert here["bits"] == there["bits"]
        assert here["units"] == there["units"]
    processes = [process[number][0]["weights"] for process in together]
    assert apart(*processes) == 0.0, "the processes have other weights"


@pytest.mark.parametrize("number", range(len(SETTINGS)), ids=list(SETTINGS))
def test_each_worker_goes_on_with_its_own_errors(number: int, together: list[list[Any]]) -> None:
    for process in together:
        whole, resumed = process[number]
        assert apart(whole["weights"], resumed["weights"]) == 0.0
        assert whole["bits"] == resumed["bits"]
        for key, slots in whole["kept"].items():
            assert slots.keys() == resumed["kept"][key].keys()
            for what, tensor in slots.items():
                assert torch.equal(
                    torch.as_tensor(tensor), torch.as_tensor(resumed["kept"][key][what])
                )
    slots = [
        {what for kept in process[number][0]["kept"].values() for what in kept}
        for process in together
    ]
    if "communication" in SETTINGS[list(SETTINGS)[number]] and number > 0:
        assert slots[0] != slots[1], "both processes keep the same worker's"
