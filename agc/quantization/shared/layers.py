"""Convolutions and linear layers that compute with quantised numbers.

They are the layers that were there, of another class: parameters, names, masks and hooks stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from agc.errors import UserError, unknown
from agc.processes.extremes import extremes_of_all
from agc.quantization.shared.affine import extremes, grid_with_zero, levels_of
from agc.quantization.shared.formats import FLOAT, Formats
from agc.quantization.shared.rounding import rounding_errors, to_grid
from agc.sparsity.masks import layer_fits, weight_names

FORWARDS = {kind.forward for kind in (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)}
"""What torch's own layers compute, whose operands can be rounded."""

OF_ATTENTION = nn.modules.linear.NonDynamicallyQuantizableLinear
"""A linear layer that attention never calls: it multiplies with the weight by itself."""

OUTPUTS = 0
"""The axis of a weight along which each output has a grid of its own."""

OWN = ("bits", "input_range")
"""Buffers of a quantised layer that a float one has not."""

GATE = "gate"
"""Name of a module that chooses bits, in a model that has one."""

SEEDS = 2**63 - 1


class QuantizedLayer:
    """What goes before a kind of layer: input and weight are rounded on the way forward, the
    gradient at the output on the way back.

    The grid of the input goes over its extremes in the whole batch; in evaluation mode over their
    running mean, so that no image changes another one's answer. A weight has a grid for each
    output. In evaluation mode gradients, which attacks ask for, are not rounded.

    Attributes:
        formats: bits, shared with all layers and copies.
        momentum: of the running mean of extremes.
        input_range: that mean; NaN before the first batch.
        bits: those of activations and weights, for whoever saves the network.
        keeps_channels: rows of weights are rounded by themselves, and zero stays zero: methods that
            remove channels may follow them through this layer.
    """

    keeps_channels = True
    formats: Formats
    momentum: float
    input_range: Tensor
    bits: Tensor

    def forward(self, inputs: Tensor) -> Tensor:
        """What the layer computes, of rounded operands."""
        formats = self.formats
        if formats.activations < FLOAT:
            ends = self.input_ends(inputs)
            inputs = to_grid(inputs, grid_with_zero(*ends, levels_of(formats.activations)))
        outputs = self.product(inputs, self.rounded_weight())
        if self.training and formats.errors < FLOAT:
            outputs = rounding_errors(outputs, levels_of(formats.errors), drawn_seed())
        return outputs

    def input_ends(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """What the grid of this input goes from and to."""
        if not self.training:
            low, high = torch.where(self.input_range.isnan(), _range(inputs), self.input_range)
            return low, high
        with torch.no_grad():
            low, high = extremes_of_all(*extremes(inputs))
            seen = torch.stack([low, high]).to(self.input_range)
            moved = self.input_range.lerp(seen, 1 - self.momentum)
            self.input_range.copy_(torch.where(self.input_range.isnan(), seen, moved))
        return low, high

    def rounded_weight(self) -> Tensor:
        """The weight as the layer multiplies with it."""
        if self.formats.weights == FLOAT:
            return self.weight
        low, high = extremes(self.weight, OUTPUTS)
        return to_grid(self.weight, grid_with_zero(low, high, levels_of(self.formats.weights)))

    def product(self, inputs: Tensor, weight: Tensor) -> Tensor:
        """What the layer computes of its operands."""
        if isinstance(self, nn.Linear):
            return nn.functional.linear(inputs, weight, self.bias)
        return self._conv_forward(inputs, weight, self.bias)

    def to_float(self) -> None:
        """Be the layer of before again, with the weight that was multiplied with, rounded."""
        with torch.no_grad():
            self.weight.copy_(self.rounded_weight())
        for name in OWN:
            delattr(self, name)
        self.__class__ = type(self).__bases__[1]

    def note_bits(self) -> None:
        """Have the buffer say what the formats are."""
        self.bits.copy_(torch.tensor([self.formats.activations, self.formats.weights]))

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.formats.activations, self.formats.weights = self.bits.tolist()


def convert(
    model: nn.Module,
    formats: Formats,
    momentum: float,
    keep_float: Sequence[str] = (),
    kind: type[QuantizedLayer] = QuantizedLayer,
    **attributes: Any,
) -> dict[str, nn.Module]:
    """Quantise the layers of a network in place; those layers, by name of their weight.

    Args:
        model: any network of torch's convolutions and linear layers.
        formats: bits; who changes them later calls ``note_bits`` of the layers.
        momentum: of the running mean of extremes.
        keep_float: names of weights, with wildcards, ``@first`` and ``@last`` among them, of layers
            that stay as they are.
        kind: of quantised layer.
        attributes: that a layer of this kind has besides.

    Raises:
        UserError: a pattern without a match, a layer that computes in a way of its own or is
            quantised already, or nothing left.
    """
    layers = {
        f"{path}.{key}" if path else key: module
        for path, module in model.named_modules()
        for key in weight_names(module)
    }
    floats = _chosen(layers, keep_float)
    found = {name: module for name, module in layers.items() if name not in floats}
    for name, module in found.items():
        if type(module).forward not in FORWARDS or isinstance(module, OF_ATTENTION):
            raise UserError(
                f"quantization: {name!r} is of {type(module).__name__}, and only torch's own "
                f"convolutions and linear layers can be quantised; keep_float=[{name!r}] leaves it"
            )
    if not found:
        raise UserError("quantization: there is no layer to quantise")
    for module in found.values():
        module.__class__ = _quantized(kind, type(module))
        vars(module).update(formats=formats, momentum=momentum, **attributes)
        weight = module.weight
        module.register_buffer("input_range", weight.detach().new_full((2,), torch.nan))
        module.register_buffer("bits", torch.zeros(2, dtype=torch.int32, device=weight.device))
        module.note_bits()
    return found


def with_float_layers(model: nn.Module) -> nn.Module:
    """Undo the conversion in place: the weights are those that were multiplied with, rounded."""
    for module in list(model.modules()):
        if hasattr(module, "to_float"):
            module.to_float()
    if GATE in model._modules:
        delattr(model, GATE)
    return model


def of_float_network(key: str) -> bool:
    """Whether an entry of a quantised network's state dict is one of the float network's."""
    return not key.startswith(f"{GATE}.") and key.rpartition(".")[2] not in OWN


@cache
def _quantized(kind: type[QuantizedLayer], layer: type[nn.Module]) -> type[nn.Module]:
    return type(f"Quantized{layer.__name__}", (kind, layer), {})


def drawn_seed() -> int:
    """A seed from torch's global stream, which whoever replays a pass puts back."""
    return int(torch.randint(SEEDS, ()))


def _range(inputs: Tensor) -> Tensor:
    """Its extremes, by operations that ONNX has."""
    values = inputs.detach()
    return torch.stack([values.min(), values.max()])


def _chosen(layers: dict[str, nn.Module], patterns: Sequence[str]) -> set[str]:
    """Names of weights that the patterns name."""
    ordered = list(layers)
    ends = {"@first": ordered[:1], "@last": ordered[-1:]}
    chosen: set[str] = set()
    for pattern in patterns:
        names = ends.get(pattern) or [name for name in layers if layer_fits(name, pattern)]
        if not names:
            raise unknown("layer to keep in float", pattern, layers)
        chosen.update(names)
    return chosen
