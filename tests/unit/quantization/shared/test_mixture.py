"""Layers and blocks that compute each image in bits of its own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from agc.errors import UserError
from agc.quantization.dfq import PAIRS
from agc.quantization.shared.formats import Formats
from agc.quantization.shared.layers import convert, of_float_network, with_float_layers
from agc.quantization.shared.mixture import MixedLayer, Mixture, gate_blocks


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.conv(x)).relu()


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def network() -> Network:
    torch.manual_seed(0)
    return Network()


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def one_hot(*places: int) -> Tensor:
    return functional.one_hot(torch.tensor(places), len(PAIRS)).float()


def mixed(layer: nn.Module) -> tuple[nn.Module, Mixture]:
    mixture = Mixture(PAIRS, 4, 1)
    convert(layer, Formats(32, 4, 32), 0.9, (), MixedLayer, mixture=mixture)
    return layer, mixture


def test_each_image_is_multiplied_in_the_bits_that_were_chosen_for_it() -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(3, 4, 3)
    images = drawn(5, 3, 6, 6)
    layer, mixture = mixed(copy.deepcopy(plain))
    with mixture.chosen(one_hot(0, 1, 2, 3, 4)):
        outputs = layer(images)
    for place, (activations, _) in enumerate(PAIRS):
        other = copy.deepcopy(plain)
        convert(other, Formats(activations, 4, 32), 0.9)
        expected = other(images)[place]  # its grid goes over the extremes of the whole batch
        torch.testing.assert_close(outputs[place], expected, rtol=1e-5, atol=1e-5)


def test_errors_have_the_bits_that_were_chosen_for_the_image() -> None:
    layer, mixture = mixed(nn.Conv2d(3, 4, 1, bias=False))
    errors, images = drawn(2, 4, 40, 40, seed=3), drawn(2, 3, 40, 40)
    with mixture.chosen(one_hot(0, 4)):
        outputs = layer(images)
    seen = []
    outputs.grad_fn.register_hook(lambda made, got: seen.append(made[0]))
    outputs.backward(errors)
    assert len(seen[0][0].unique()) <= 2**6 < len(seen[0][1].unique()) <= 2**12


def test_the_gate_learns_by_what_each_pair_would_have_given() -> None:
    layer, mixture = mixed(nn.Conv2d(3, 4, 3, bias=False))
    images, errors = drawn(3, 3, 6, 6), drawn(3, 4, 4, 4, seed=2)
    choice = one_hot(0, 2, 4).requires_grad_()
    layer.eval()  # so that errors are as they are
    layer.input_range.copy_(torch.tensor([images.min(), images.max()]))
    with mixture.chosen(choice):
        layer(images).backward(errors)
    for pair in range(len(PAIRS)):
        with mixture.chosen(None, pair), torch.no_grad():
            expected = (layer(images) * errors).sum((1, 2, 3))
        torch.testing.assert_close(choice.grad[:, pair], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("apart", [False, True])
def test_the_gate_is_trained_and_leaves_nothing_behind(apart: bool) -> None:
    model = network()
    mixture, layers = gate_blocks(model, PAIRS, 4, 0.9, apart)
    assert list(layers) == ["blocks.0.conv.weight", "blocks.1.conv.weight"]
    assert mixture.owners == {"blocks.0.conv.weight": 0, "blocks.1.conv.weight": 1}
    model(drawn(6, 1, 8, 8)).square().sum().backward()
    reached = {n for n, p in model.gate.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == dict(model.gate.named_parameters()).keys()
    mixture.costs.clear()
    assert model.gate.memory is None
    copied = copy.deepcopy(model)
    assert copied.gate is not model.gate
    assert copied.blocks[1].gate is copied.gate
    assert copied.blocks[1].mixture is mixture


def test_a_batch_norm_notices_one_batch_a_step_or_five_as_published() -> None:
    counts = []
    for apart in (False, True):
        model = network()
        gate_blocks(model, PAIRS, 4, 0.9, apart)
        model(drawn(6, 1, 8, 8))
        counts.append([int(b.norm.num_batches_tracked) for b in model.blocks])
    assert counts == [[1, 1], [5, 5]]


def test_both_ways_give_the_same_answers_in_evaluation() -> None:
    answers = []
    for apart in (False, True):
        model = network()
        torch.manual_seed(1)
        gate_blocks(model, PAIRS, 4, 0.9, apart)
        with torch.no_grad():
            for layer in model.blocks:
                layer.conv.input_range.copy_(torch.tensor([-2.0, 3.0]))
        answers.append(model.eval()(drawn(6, 1, 8, 8)))
    torch.testing.assert_close(*answers, rtol=1e-4, atol=1e-5)


def test_costs_are_those_of_the_pairs() -> None:
    mixture = Mixture(PAIRS, 4, 2)
    mixture.note(0, one_hot(0, 1, 2, 3, 4))
    expected = [0.01758, 0.02083, 0.02604, 0.03385, 0.04688]
    torch.testing.assert_close(mixture.costs[0], torch.tensor(expected), rtol=0, atol=5e-6)
    forward, errors, gradients = (1024 * mixture.spent[0]).tolist()
    assert (forward, errors) == (4 * (3 + 4 + 4 + 6 + 6), 4 * (6 + 6 + 8 + 8 + 12))
    assert gradients == 18 + 24 + 32 + 48 + 72
    assert mixture.images == 5
    mixture.note(1, one_hot(0, 0, 0, 0, 0))
    assert mixture.images == 5


def test_blocks_and_layers_become_what_they_were() -> None:
    model, plain = network(), network()
    gate_blocks(model, PAIRS, 4, 0.9, False)
    assert {k for k in model.state_dict() if of_float_network(k)} == plain.state_dict().keys()
    with_float_layers(model)
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert type(model.blocks[0]) is Block
    assert torch.isfinite(model(drawn(2, 1, 8, 8))).all()


def test_a_network_without_blocks_is_refused() -> None:
    with pytest.raises(UserError, match="no list of residual blocks"):
        gate_blocks(nn.Sequential(nn.Conv2d(1, 2, 3)), PAIRS, 4, 0.9, False)
