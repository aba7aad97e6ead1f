"""What policies share whose layers all have the same formats at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from agc import rng
from agc.cost.products import Products, products_of
from agc.lazy import torch
from agc.quantization.base import Quantization
from agc.quantization.shared.affine import at_chance, symmetric_grid
from agc.quantization.shared.formats import FLOAT, Bits, Formats

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module

Share = Annotated[float, Field(ge=0, lt=1)]


class Layerwise(Quantization):
    """Quantises convolutions and linear layers, all in the formats of the moment.

    Args:
        model: its layers are converted in place.
        formats: the first ones.
        weight_gradients: bits of what the optimizer sees of a weight's gradient, after the
            correction: on a grid that is symmetric around 0, over the active weights of a layer,
            at chance; 32 leaves it.
        keep_float: names of weights, with wildcards, ``@first`` and ``@last`` among them, of layers
            that stay in float32.
        momentum: of the running mean of extremes, which activations are rounded by in evaluation.
        seed: of rounding weight gradients.
    """

    state = ("steps",)

    def __init__(
        self,
        model: Module,
        formats: Formats,
        *,
        weight_gradients: Bits = FLOAT,
        keep_float: tuple[str, ...] = ("@last",),
        momentum: Share = 0.9,
        seed: int = 0,
    ) -> None:
        super().__init__(model)
        # Not on top: planning reads every entry, and must not wait for torch.
        from agc.quantization.shared.layers import convert

        self.formats = formats
        self.layers = convert(model, formats, momentum, keep_float)
        self.weight_gradients = weight_gradients
        self.seed = seed
        self.steps = 0
        """Steps whose gradient has been looked at."""

    @property
    def rounds(self) -> bool:
        """If weight gradients have fewer bits than 32."""
        return self.weight_gradients < FLOAT

    def change(self, formats: Formats) -> None:
        """Have other formats from now on."""
        self.before_change()
        self.formats.set(formats)
        for layer in self.layers.values():
            layer.note_bits()

    def observe(self, loss: Tensor) -> None:
        """Count the step."""
        self.steps += 1

    def round(self) -> None:
        """Round the gradients of the quantised weights at chance, the same in each run."""
        if not self.rounds:
            return
        draws = None
        with torch.no_grad():
            for name, layer in self.layers.items():
                gradient = layer.weight.grad
                if gradient is None:
                    continue
                if draws is None:
                    draws = self.draws(gradient)
                gradient.copy_(self.rounded(name, gradient, draws))

    def rounded(self, name: str, gradient: Tensor, draws: Generator) -> Tensor:
        """A gradient on its grid, 0 where the weight is pruned."""
        active = self.active(name, gradient)
        grid = symmetric_grid(active.abs().amax(), self.weight_gradients)
        return at_chance(active, grid, draws)

    def active(self, name: str, gradient: Tensor) -> Tensor:
        """The gradient without what is pruned."""
        mask = None if self.sparse is None else self.sparse.masks.get(name)
        return gradient if mask is None else gradient * mask

    def draws(self, gradient: Tensor) -> Generator:
        """The generator of this step, where the gradient is."""
        device = str(gradient.device)
        return rng.generator(self.seed, "quantization/gradient", step=self.steps, device=device)

    def products(self) -> Mapping[str, Products]:
        """Of the present bits."""
        formats = self.formats
        found = products_of(formats.activations, formats.weights, formats.errors)
        return dict.fromkeys(self.layers, found)

    def diagnostics(self) -> dict[str, float]:
        """Bits of activations and of errors."""
        return {
            "forward_bits": float(self.formats.activations),
            "backward_bits": float(self.formats.errors),
        }
