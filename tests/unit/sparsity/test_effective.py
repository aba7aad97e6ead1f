from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable

import pytest
import torch
from timm.layers import StdConv2d
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.linear import Linear as CastingLinear
from timm.layers.std_conv import ScaledStdConv2d, ScaledStdConv2dSame, StdConv2dSame
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils import spectral_norm as old_spectral_norm
from torch.nn.utils import weight_norm as old_weight_norm

from agc import Dense, RigL, Static
from agc.registry import METHODS
from agc.sparsity.effective import refuse_vanishing, zeros_survive
from agc.sparsity.prunable import choose_prunable


def layers(first: nn.Module | None = None) -> nn.Module:
    return nn.Sequential(first or nn.Linear(4, 4), nn.Linear(4, 6))


class Twice(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def with_weight(change: Callable[[nn.Module], object], key: str = "weight") -> nn.Module:
    model = layers(nn.LSTM(4, 4) if "_l0" in key else nn.Linear(4, 4))
    change(model[0])
    return model


COMPUTED = {
    "spectral norm": (parametrizations.spectral_norm, "_SpectralNorm", "remove_parametrizations"),
    "weight norm": (parametrizations.weight_norm, "_WeightNorm", "remove_parametrizations"),
    "orthogonal": (parametrizations.orthogonal, "_Orthogonal", "remove_parametrizations"),
    "own": (
        lambda m: parametrize.register_parametrization(m, "weight", Twice()),
        "Twice",
        "remove_parametrizations(layer, 'weight')",
    ),
    "old weight norm": (old_weight_norm, "WeightNorm", "remove_weight_norm(layer, 'weight')"),
    "old spectral norm": (old_spectral_norm, "SpectralNorm", "remove_spectral_norm(layer"),
    "pruned": (lambda m: prune.l1_unstructured(m, "weight", 0.5), "L1Unstr", "prune.remove(layer"),
}


@pytest.mark.parametrize("way", COMPUTED)
def test_a_weight_that_is_no_parameter_is_refused_by_name(way: str) -> None:
    change, kind, mend = COMPUTED[way]
    with pytest.raises(ValueError, match=r"cannot prune '0\.weight'") as caught:
        Static(with_weight(change), sparsity=0.5)
    assert kind in str(caught.value)
    assert mend in str(caught.value)
    assert "keep_dense=['0.weight']" in str(caught.value)
    model = with_weight(change)
    assert list(Static(model, sparsity=0.5, keep_dense=("0.*",)).masks) == ["1.weight"]
    assert Dense(model).sparsity() == 0


def test_what_is_advised_helps() -> None:
    removed = {
        "spectral norm": lambda m: parametrize.remove_parametrizations(m, "weight"),
        "old weight norm": lambda m: nn.utils.remove_weight_norm(m, "weight"),
        "old spectral norm": lambda m: nn.utils.remove_spectral_norm(m, "weight"),
        "pruned": lambda m: prune.remove(m, "weight"),
    }
    for way, remove in removed.items():
        model = with_weight(COMPUTED[way][0])
        remove(model[0])
        assert list(Static(model, sparsity=0.5).masks) == ["0.weight", "1.weight"]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda m: old_weight_norm(m, "weight_hh_l0"), "0.weight_hh_l0"),
        (lambda m: prune.random_unstructured(m, "weight_ih_l0", 0.5), "0.weight_ih_l0"),
    ],
)
def test_recurrent_weights_are_refused_too(change: Callable, name: str) -> None:
    with pytest.raises(ValueError, match=f"cannot prune '{name}'"):
        Static(with_weight(change, "_l0"), sparsity=0.5)


def test_packed_attention_is_refused_too() -> None:
    model = nn.Sequential(nn.MultiheadAttention(4, 2))
    parametrizations.spectral_norm(model[0], "in_proj_weight")
    with pytest.raises(ValueError, match=r"cannot prune '0\.in_proj_weight'"):
        Static(model, sparsity=0.5)


@pytest.mark.parametrize("name", [name for name in METHODS.names() if METHODS[name].target.sparse])
def test_every_method_refuses(name: str) -> None:
    model = with_weight(parametrizations.weight_norm)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"cannot prune '0\.weight'"):
        METHODS.create(name, model, optimizer, options={}, sparsity=0.5, total_steps=9, seed=0)


@pytest.mark.parametrize("ending", ["_g", "_v"])
def test_a_parameter_that_only_goes_into_a_weight_is_no_way_round(ending: str) -> None:
    options = {"keep_dense": ("0.weight",), "also_prune": (f"0.weight{ending}",)}
    with pytest.raises(ValueError, match=f"cannot prune '0.weight{ending}': 'weight' is computed"):
        Static(with_weight(old_weight_norm), sparsity=0.5, **options)
    options["also_prune"] = ("*.original1",)
    with pytest.raises(ValueError, match="original1': a weight is computed from it"):
        Static(with_weight(parametrizations.weight_norm), sparsity=0.5, **options)


class Gain(nn.Linear):
    """Scales each neuron: zeros survive."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.gain = nn.Parameter(torch.ones(self.out_features, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.linear(inputs, self.weight * self.gain, self.bias)


class Quantized(nn.Linear):
    """Rounds to 255 levels, straight through: zeros survive."""

    def forward(self, inputs: Tensor) -> Tensor:
        scale = self.weight.abs().max() / 127
        rounded = (self.weight / scale).round() * scale
        weight = self.weight + (rounded - self.weight).detach()
        return functional.linear(inputs, weight, self.bias)


class Signs(nn.Linear):
    """A binary network has no zeros."""

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.linear(inputs, torch.where(self.weight < 0, -1.0, 1.0), self.bias)


class LowRank(nn.Linear):
    """Adds a product of two factors to the weight."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.up = nn.Parameter(torch.randn(self.out_features, 1))
        self.down = nn.Parameter(torch.randn(1, self.in_features))

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.linear(inputs, self.weight + self.up @ self.down, self.bias)


class Summed(nn.Conv2d):
    """Convolves with the weight that its own function makes."""

    def _conv_forward(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(inputs, weight - weight.mean(), bias)


@pytest.mark.parametrize(
    "layer",
    [
        *(Gain(4, 4), Quantized(4, 4), CastingLinear(4, 4), Conv2dSame(3, 4, 3, 2)),
        *(nn.Linear(4, 4), nn.ConvTranspose2d(3, 4, 3), Conv2dSame(4, 8, 5, groups=2)),
        Gain(4, 4).to(torch.bfloat16),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_that_keep_zeros_are_pruned(layer: nn.Module) -> None:
    model = nn.Sequential(layer, nn.Linear(4, 6))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(Static(model, sparsity=0.5).masks) == ["0.weight", "1.weight"]


@pytest.mark.parametrize(
    "layer",
    [
        *(Signs(4, 4), LowRank(4, 4), Summed(3, 4, 3), StdConv2d(3, 4, 3), StdConv2dSame(3, 4, 3)),
        *(ScaledStdConv2d(3, 4, 3), ScaledStdConv2dSame(3, 4, 3)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_that_fill_zeros_are_refused(layer: nn.Module) -> None:
    kind = type(layer).__name__
    with pytest.raises(ValueError, match=f"cannot prune '0.weight': {kind} multiplies with some"):
        Static(nn.Sequential(layer, nn.Linear(4, 6)), sparsity=0.5)


def test_a_layer_of_zeros_is_told_apart_as_any() -> None:
    # Its own values do not say what becomes of zeros.
    layer = StdConv2d(3, 4, 3)
    nn.init.zeros_(layer.weight)
    with pytest.raises(ValueError, match="StdConv2d multiplies with something else"):
        Static(nn.Sequential(layer), sparsity=0.5)


def test_many_layers_are_one_refusal() -> None:
    model = nn.Sequential(*(StdConv2d(3, 3, 3) for _ in range(6)))
    message = "'0.weight', '1.weight', '2.weight', '3.weight' and 2 others: StdConv2d"
    with pytest.raises(ValueError, match=re.escape(message)):
        Static(model, sparsity=0.5)


def test_a_layer_that_cannot_be_run_alone_is_named_in_a_warning() -> None:
    class Gated(nn.Linear):
        def forward(self, inputs: Tensor, gate: Tensor) -> Tensor:
            return gate * super().forward(inputs)

    with pytest.warns(UserWarning, match=r"cannot tell .*'0.weight' \(Gated\).*'gate'.*keep_dense"):
        Static(nn.Sequential(Gated(4, 4)), sparsity=0.5)


def test_trying_a_layer_leaves_everything_as_it_was() -> None:
    class Noisy(nn.Linear):
        def __init__(self, *sizes: int) -> None:
            super().__init__(*sizes)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, inputs: Tensor) -> Tensor:
            assert not self.training
            self.calls += 1
            return super().forward(inputs + torch.rand(()))

    model = layers(Noisy(4, 4))
    before, stream = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    addresses = [p.data_ptr() for p in model.parameters()]
    # No weight is masked.
    RigL(model, sparsity=1e-9, total_steps=9)
    assert torch.equal(torch.get_rng_state(), stream)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert [p.data_ptr() for p in model.parameters()] == addresses
    assert all(module.training for module in model.modules())


def test_a_network_that_transforms_the_weight_of_its_layer_is_refused_by_a_pass() -> None:
    class Normalising(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.unused, self.head = (nn.Linear(4, 4) for _ in range(3))

        def forward(self, inputs: Tensor) -> Tensor:
            weight = self.hidden.weight
            return self.head(functional.linear(inputs, weight - weight.mean(1, keepdim=True)))

    model, inputs = Normalising(), torch.randn(1, 4)
    before = copy.deepcopy(model.state_dict())
    parameters = choose_prunable(model)
    survive = zeros_survive(model, parameters, inputs, lambda: model(inputs))
    assert survive == {"hidden.weight": False, "unused.weight": None, "head.weight": True}
    with pytest.raises(ValueError, match=r"cannot prune 'hidden.weight': the network multiplies"):
        refuse_vanishing(model, parameters, inputs, lambda: model(inputs))
    del parameters["hidden.weight"]
    refuse_vanishing(model, parameters, inputs, lambda: model(inputs))
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
