from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from agc.errors import UserError
from agc.grids.cell import Cell
from agc.training.build import build
from agc.training.loop import train
from tests.support.late_networks import LATE, TooLate, networks_are, with_such_a_network


def trained(cell: Cell) -> dict[str, torch.Tensor]:
    run = build(cell)
    list(train(run))
    return run.model.state_dict()


@pytest.mark.parametrize("kind", LATE, ids=lambda kind: kind.__name__)
def test_a_cell_has_the_same_bits_behind_another_one_of_its_process(
    kind: type[nn.Module], tiny_cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    networks_are(kind, monkeypatch)
    sparse = {"method": "static", "sparsity": 0.5, "training": {"epochs": 1}}
    cell = with_such_a_network(tiny_cell, **sparse)
    alone = trained(cell)
    torch.rand(3)
    trained(with_such_a_network(tiny_cell, seed=1, **sparse))
    behind = trained(cell)
    assert alone.keys() == behind.keys()
    assert all(torch.equal(alone[name], behind[name]) for name in alone)


def test_a_layer_that_comes_after_the_optimizer_is_refused(
    tiny_cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    networks_are(TooLate, monkeypatch)
    with pytest.raises(UserError, match=r"'resnet18' adds 'net\.head\.weight' in a pass in train"):
        build(with_such_a_network(tiny_cell))
