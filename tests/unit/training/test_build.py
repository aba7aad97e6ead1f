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


def splits(cell: Cell) -> list[list[int]]:
    """Bytes of the training and the validation images of a cell."""
    run = build(cell)
    return [part.images.flatten(1).tolist() for part in (run.loader.split, run.validation)]


def test_a_split_of_the_seed_is_shared_by_the_runs_of_a_seed(
    tiny_cell: Callable[..., Cell],
) -> None:
    seeds, fixed = {"split": "seed", "images": 128}, {"split": "fixed", "images": 128}
    plain = splits(tiny_cell(seeds))
    arms = {"method": "rigl", "sparsity": 0.9, "correction": "agc"}
    assert splits(tiny_cell(seeds, **arms)) == plain
    assert len(plain[0]) == 128
    for one, other in zip(plain, splits(tiny_cell(seeds, seed=1)), strict=True):
        assert one != other
    assert splits(tiny_cell(fixed)) == splits(tiny_cell(fixed, seed=1)) != plain


def test_training_on_all_images_by_their_number_has_the_same_bits(
    tiny_cell: Callable[..., Cell],
) -> None:
    usual, counted = trained(tiny_cell()), trained(tiny_cell({"images": 4 * 64}))
    assert all(torch.equal(usual[name], counted[name]) for name in usual)
    few = build(tiny_cell({"images": 128}))
    assert few.loader.images_per_epoch == 128
    assert torch.equal(few.validation.images, build(tiny_cell()).validation.images)


def test_self_training_shares_the_images_that_it_is_given(tiny_cell: Callable[..., Cell]) -> None:
    small = {"images": 128, "batch_size": 32, "epochs": 1, "split": "seed"}
    run = build(tiny_cell(small, objective="rst"))
    assert len(run.loader.split) == 128
