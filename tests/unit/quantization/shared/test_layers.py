"""Quantised layers against torch's operations, and that they are the layers that were there."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.layers import StdConv2d
from torch import Tensor, nn

from agc.errors import UserError
from agc.quantization.shared import layers as quantised
from agc.quantization.shared.affine import extremes, grid_between, levels_of, nearest
from agc.quantization.shared.formats import Formats
from agc.quantization.shared.layers import convert, with_float_layers

KINDS = {
    "linear": (lambda: nn.Linear(12, 5), (7, 12)),
    "conv1d": (lambda: nn.Conv1d(3, 4, 3, stride=2), (7, 3, 9)),
    "conv2d": (lambda: nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=False), (7, 4, 5, 5)),
    "reflecting": (lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), (7, 4, 5, 5)),
}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def made(kind: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return KINDS[kind][0]()


def fake(values: Tensor, bits: int, axis: int | None = None) -> Tensor:
    """Torch's fake quantisation on a grid with zero over the extremes."""
    low, high = (end.clone() for end in extremes(values, axis))
    low, high = low.clamp(max=0), high.clamp(min=0)
    step = (high - low) / levels_of(bits)
    zero = (-low / step).round().int()
    if axis is None:
        return torch.fake_quantize_per_tensor_affine(values, step, zero, 0, levels_of(bits))
    ends = (step.flatten(), zero.flatten(), axis, 0, levels_of(bits))
    return torch.fake_quantize_per_channel_affine(values, *ends)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_multiplies_what_torch_has_rounded(kind: str) -> None:
    layer, inputs = made(kind), drawn(*KINDS[kind][1])
    expected = copy.deepcopy(layer)
    with torch.no_grad():
        expected.weight.copy_(fake(layer.weight, 4, 0))
    convert(layer, Formats(3, 4, 32), 0.9)
    torch.testing.assert_close(layer(inputs), expected(fake(inputs, 3)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_with_32_bits_it_is_the_float_layer_to_the_bit(kind: str) -> None:
    layer, plain, inputs = made(kind), made(kind), drawn(*KINDS[kind][1])
    convert(layer, Formats(), 0.9)
    for one in (layer, plain):
        one(inputs).square().sum().backward()
    assert torch.equal(layer(inputs), plain(inputs))
    for name, parameter in plain.named_parameters():
        assert torch.equal(parameter.grad, layer.get_parameter(name).grad)


def test_errors_feed_both_backward_products() -> None:
    layer, inputs = nn.Linear(12, 5), drawn(7, 12).requires_grad_()
    convert(layer, Formats(32, 32, 3), 0.9)
    seen = []
    layer.register_full_backward_hook(lambda module, given, got: seen.append(got[0]))
    errors = drawn(7, 5, seed=4)
    torch.manual_seed(0)
    layer(inputs).backward(errors)
    rounded = torch.linalg.lstsq(layer.weight.detach().T, inputs.grad.T).solution.T
    low, high = extremes(errors)
    places = (rounded - low) / ((high - low) / levels_of(3))
    torch.testing.assert_close(places, places.round(), rtol=0, atol=1e-3)
    torch.testing.assert_close(layer.weight.grad, rounded.T @ inputs.detach(), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(rounded, errors, atol=1e-3)


def test_pruned_weights_stay_zero_and_would_not_on_a_grid_between_extremes() -> None:
    layer = nn.Conv2d(4, 6, 3, bias=False)
    mask = drawn(6, 4, 3, 3, seed=5) > 0
    with torch.no_grad():
        layer.weight.mul_(mask)
    convert(layer, Formats(3, 3, 6), 0.9)
    assert not layer.rounded_weight()[~mask].any()
    assert not layer.rounded_weight()[:, 0][~mask[:, 0]].any()
    affine = nearest(layer.weight.detach(), grid_between(*extremes(layer.weight, 0), levels_of(3)))
    assert affine[~mask].any()


def test_evaluation_uses_the_running_mean_of_extremes() -> None:
    layer = nn.Linear(12, 5)
    convert(layer, Formats(4, 32, 32), 0.75)
    assert layer.input_range.isnan().all()
    first, second = drawn(7, 12), 3 * drawn(7, 12, seed=1)
    layer(first)
    assert torch.equal(layer.input_range, torch.stack(extremes(first)))
    layer(second)
    expected = 0.75 * torch.stack(extremes(first)) + 0.25 * torch.stack(extremes(second))
    torch.testing.assert_close(layer.input_range, expected)
    layer.eval()
    kept, together = layer.input_range.clone(), layer(10 * second)
    assert torch.equal(layer.input_range, kept)
    torch.testing.assert_close(together[:1], layer(10 * second[:1]))


def test_a_pass_in_training_draws_a_seed_and_one_in_evaluation_does_not() -> None:
    layer = nn.Linear(12, 5)
    convert(layer, Formats(8, 8, 8), 0.9)
    for training in (True, False):
        layer.train(training)
        before = torch.get_rng_state()
        layer(drawn(7, 12))
        assert torch.equal(torch.get_rng_state(), before) != training


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 5))


def test_parameters_are_the_same_objects_under_the_same_names() -> None:
    model = network()
    before = dict(model.named_parameters())
    found = convert(model, Formats(8, 8, 8), 0.9, ["@last"])
    after = dict(model.named_parameters())
    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)
    assert found == {"0.weight": model[0]}
    assert isinstance(model[0], nn.Conv2d)
    assert type(model[3]) is nn.Linear


def test_all_copies_share_the_formats_and_a_state_brings_them_along() -> None:
    model, other, formats = network(), network(), Formats(3, 4, 6)
    layers = convert(model, formats, 0.9)
    copied = copy.deepcopy(model)
    formats.activations = 8
    assert copied[0].formats is model[0].formats is formats
    for layer in layers.values():
        layer.note_bits()
    convert(other, Formats(2, 2, 2), 0.9)
    other.load_state_dict(model.state_dict())
    assert other[3].formats == Formats(8, 4, 2)


def test_float_layers_come_back_with_the_weights_that_were_multiplied_with() -> None:
    model = network()
    names = model.state_dict().keys()
    convert(model, Formats(32, 3, 6), 0.9, ["@last"])
    images = drawn(2, 3, 5, 5)
    expected = model.eval()(images)
    with_float_layers(model)
    assert type(model[0]) is nn.Conv2d
    assert model.state_dict().keys() == names
    assert len(model[0].weight[0].unique()) <= 2**3
    assert torch.equal(model(images), expected)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(8, 2)


@pytest.mark.parametrize(
    ("model", "keep", "message"),
    [
        (nn.Sequential(StdConv2d(3, 4, 3)), [], "'0.weight' is of StdConv2d"),
        (nn.LSTM(4, 4), [], "'weight_ih_l0' is of LSTM"),
        (Attention(), [], "'attend.in_proj_weight' is of MultiheadAttention"),
        (Attention(), ["*in_proj*"], "'attend.out_proj.weight' is of NonDynamicallyQuantizable"),
        (network(), ["fc"], "unknown layer to keep in float 'fc'"),
        (network(), ["@first", "@last"], "there is no layer to quantise"),
    ],
)
def test_what_cannot_be_quantised_is_refused_by_name(
    model: nn.Module, keep: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message.replace("*", r"\*")):
        convert(model, Formats(8, 8, 8), 0.9, keep)
    assert not any(isinstance(m, quantised.QuantizedLayer) for m in model.modules())


def test_a_network_is_quantised_once() -> None:
    model = network()
    convert(model, Formats(8, 8, 8), 0.9)
    with pytest.raises(UserError, match=r"'0\.weight' is of QuantizedConv2d"):
        convert(model, Formats(8, 8, 8), 0.9)
