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


class Standardises(nn.Module):
    """Multiplies with a weight that it computes from that of its layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(64 * channels, 8), nn.Linear(8, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        weight = self.hidden.weight - self.hidden.weight.mean(dim=1, keepdim=True)
        return self.head(nn.functional.linear(images.flatten(1), weight).relu())


def test_a_network_that_fills_pruned_weights_is_refused(
    tiny_cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    networks_are(Standardises, monkeypatch)
    sparse = {"method": "rigl", "sparsity": 0.5}
    with pytest.raises(UserError, match=r"cannot prune 'net\.hidden\.weight': the network multi"):
        build(with_such_a_network(tiny_cell, **sparse))
    # Nothing is pruned there, or that layer is not.
    build(with_such_a_network(tiny_cell))
    options = {"keep_dense": ["net.hidden.weight"]}
    build(
        with_such_a_network(tiny_cell, **{**sparse, "method": {"name": "rigl", "options": options}})
    )


def test_looking_for_zeros_leaves_a_cell_as_it_was(
    tiny_cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = tiny_cell(method="rigl", sparsity=0.9, correction="agc", training={"epochs": 1})
    looked = trained(cell)
    monkeypatch.setattr("agc.training.build.refuse_vanishing", lambda *_: None)
    monkeypatch.setattr("agc.methods.base.refuse_unseen", lambda *_: None)
    plain = trained(cell)
    assert all(torch.equal(looked[name], plain[name]) for name in plain)
