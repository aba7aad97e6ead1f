from __future__ import annotations

import math
from fractions import Fraction

import pytest
import timm
import torch
from torch import Tensor, nn

from agc import rng
from agc.architectures import register_all
from agc.errors import UserError
from agc.methods.small_dense import SmallDense
from agc.sparsity.distributions import InfeasibleSparsityError
from agc.sparsity.masks import prunable_parameters
from agc.sparsity.widths import Widths


def resnet(width: int) -> nn.Module:
    register_all()
    with rng.isolated(width):
        return timm.create_model("resnet8", num_classes=10, in_chans=3, width=width).double()


def mobile(width: int) -> nn.Module:
    """Depthwise, grouped and transposed convolutions, and a classifier that reads pixels."""
    with rng.isolated(width):
        return nn.Sequential(
            nn.Conv2d(3, width, 3, bias=False),
            nn.BatchNorm2d(width),
            nn.Hardswish(),
            nn.Conv2d(width, width, 3, groups=width, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, groups=width // 4),
            nn.InstanceNorm2d(2 * width, affine=True),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 2, groups=width // 4),
            nn.PReLU(width),
            nn.Flatten(),
            nn.Linear(9 * width, 5),
        ).double()


def corner(wide: Tensor, shape: torch.Size) -> Tensor:
    """The first entries along each dimension."""
    return wide[tuple(slice(size) for size in shape)]


def learn(model: nn.Module, optimizer: torch.optim.Optimizer, method: SmallDense | None) -> Tensor:
    generator = rng.generator(0, "data")
    for _ in range(4):
        images = torch.randn(6, 3, 8, 8, generator=generator, dtype=torch.float64)
        labels = torch.randint(5, (6,), generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        if method is not None:
            method.advance()
    model.eval()
    return model(images)


@pytest.mark.parametrize("make", [resnet, mobile])
def test_the_masked_network_is_the_physically_narrower_one(make) -> None:
    wide, narrow = make(16), make(8)
    total, fewer = (sum(p.numel() for p in prunable_parameters(m).values()) for m in (wide, narrow))
    optimizers = [
        torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-2)
        for m in (wide, narrow)
    ]
    method = SmallDense(wide, optimizers[0], sparsity=1 - fewer / total)
    assert method.alpha == Fraction(1, 2)
    assert sum(method.active().values()) == fewer
    assert method.target == pytest.approx(1 - fewer / total)
    for name, tensor in narrow.state_dict().items():
        # Leaving out half of the groups leaves whole ones: rows and columns are the first ones.
        tensor.copy_(corner(wide.state_dict()[name], tensor.shape))
    method.begin([torch.ones(2, 3, 8, 8).double()], lambda model, batch: model(batch).sum())
    wide_logits = learn(wide, optimizers[0], method)
    narrow_logits = learn(narrow, optimizers[1], None)
    torch.testing.assert_close(wide_logits, narrow_logits, rtol=1e-9, atol=1e-9)
    for name, tensor in narrow.state_dict().items():
        mine = wide.state_dict()[name]
        torch.testing.assert_close(corner(mine, tensor.shape), tensor, rtol=1e-9, atol=1e-9)
        if name in dict(wide.named_parameters()):
            rest = mine.clone()
            corner(rest, tensor.shape).zero_()
            assert not rest.any(), f"{name}: something outside of the narrower network"


def test_the_width_factor_is_the_largest_that_fits() -> None:
    for sparsity in (0.0, 0.3, 0.8, 0.95):
        method = SmallDense(resnet(8), None, sparsity=sparsity)
        total = sum(p.numel() for p in method.parameters.values())
        wanted, factors = round((1 - sparsity) * total), method.widths.factors()
        sizes = [method.widths.size(factor) for factor in factors]
        assert sizes == sorted(sizes)
        assert sum(method.active().values()) == max(s for s in sizes if s <= wanted)
        assert method.sparsity() == method.target >= sparsity - 1e-12


def test_widths_worked_by_hand() -> None:
    model = nn.Sequential(nn.Conv2d(3, 10, 3), nn.ReLU(), nn.Flatten(), nn.Linear(10, 4))
    # A tenth a channel: k channels have 27 k + 4 k weights of 310.
    method = SmallDense(model, None, sparsity=0.5)
    assert method.alpha == Fraction(1, 2)
    assert method.active() == {"0.weight": 135, "3.weight": 20}
    assert SmallDense(model, None, sparsity=0.51).active() == {"0.weight": 108, "3.weight": 16}
    assert not model[0].bias[4:].any()
    assert model[3].bias.all()
    with pytest.raises(InfeasibleSparsityError, match=r"leaves 16 weights, .* has 31"):
        SmallDense(model, None, sparsity=0.95)


def test_normalisation_of_the_image_and_of_the_classes_is_whole() -> None:
    model = nn.Sequential(
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 8, 1),
        nn.BatchNorm2d(8),
        nn.Flatten(),
        nn.Linear(8, 6),
        nn.BatchNorm1d(6),
    )
    widths = Widths(model, prunable_parameters(model))
    _, masks = widths.vectors(Fraction(1, 2))
    kept = {name: int(mask.sum()) for name, mask in masks.items() if "weight" in name}
    assert kept == {"0.weight": 4, "2.weight": 4, "5.weight": 6}
    assert int(masks["1.bias"].sum()) == 4
    assert int(masks["4.bias"].sum()) == 6


def test_a_group_that_is_cut_reads_the_first_channels_alone() -> None:
    model = nn.Sequential(nn.Conv2d(1, 6, 1), nn.Conv2d(6, 6, 1, groups=2), nn.Conv2d(6, 1, 1))
    widths = Widths(model, prunable_parameters(model))
    # Two thirds: 4 of 6 channels; the second group has inputs 3 to 5 and keeps only the first.
    plane = widths.planes(Fraction(2, 3))["1.weight"].reshape(6, 3).int().tolist()
    assert plane == [[1, 1, 1]] * 3 + [[1, 0, 0]] + [[0, 0, 0]] * 2


def test_normalisation_over_channels_is_refused() -> None:
    for mixing in (nn.LayerNorm([8, 4, 4]), nn.GroupNorm(2, 8)):
        model = nn.Sequential(nn.Conv2d(1, 8, 1), mixing, nn.Flatten(), nn.Linear(128, 2))
        with pytest.raises(ValueError, match=r"'1' .* normalises over channels"):
            SmallDense(model, None, sparsity=0.5)


def test_channels_that_a_layer_would_leave_out_are_refused() -> None:
    class Concatenated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(1, 8, 1), nn.Conv2d(8, 8, 1)
            self.head = nn.Conv2d(16, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            first = self.one(x)
            return self.head(torch.cat([first, self.two(first)], dim=1))

    method = SmallDense(Concatenated(), None, sparsity=0.5)
    with pytest.raises(UserError, match=r"'head\.weight' reads more than the first channels"):
        method.begin([torch.ones(1, 1, 2, 2)], lambda model, batch: model(batch).sum())


def test_the_cost_is_that_of_the_narrower_network(tiny_cell) -> None:
    from agc.training.build import build

    run = build(tiny_cell(method="small-dense", sparsity=0.7))
    active, alpha = run.method.active(), run.method.alpha
    for name, layer in run.method.widths.layers.items():
        out, into = run.method.widths.kept(name, alpha)
        kernel = math.prod(layer.weight.shape[2:])
        assert active[name] == out * into * kernel
    assert run.flops.forward(active) < 0.5 * run.flops.forward()


def test_what_moves_the_other_channels_is_undone_with_the_optimizer_state() -> None:
    model = mobile(16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    method = SmallDense(model, optimizer, sparsity=0.7)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    method.advance()
    for name, vector in method.vectors.items():
        gone = ~method.vector_masks[name]
        assert not vector[gone].any()
        assert not optimizer.state[vector]["momentum_buffer"][gone].any()
        assert (optimizer.state[vector]["momentum_buffer"][~gone] == 1).all()


@pytest.mark.parametrize("layer", [nn.LSTM(4, 4), nn.MultiheadAttention(4, 1)])
def test_weights_without_channels_are_refused_by_name(layer: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"'0\.\w+' is no weight of a convolution or linear"):
        SmallDense(nn.Sequential(layer, nn.Linear(4, 4)), sparsity=0.5)
