"""N:M sparsity by SR-STE: of each m consecutive weights, the n largest are active."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from agc.lazy import torch
from agc.methods.shared.hidden import HiddenWeights
from agc.registry import LATER, METHODS
from agc.sparsity.distributions import InfeasibleSparsityError
from agc.sparsity.masks import top_of_rows
from agc.sparsity.neurons import neurons, row_shapes

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.gradients.gradient import LossFunction

LARGEST = 128
"""Largest m that is looked for."""


@METHODS.register(
    "n:m",
    family="structured",
    source="arXiv 2102.04010",
    needs="the dense gradient at every step",
)
class NM(HiddenWeights):
    """SR-STE: of each ``m`` consecutive weights along the input, the ``n`` largest are active, at
    every step; the others live on, and the sparsity is 1 - n / m.

    After the paper's equation 8 and aojunzz/NM-sparsity. The gradient at the active weights goes
    straight through to all of them, and those that are masked decay by ``decay`` times their value,
    added to the gradient (after any clipping). The masks are chosen anew from the raw magnitudes
    after each optimizer step, so a weight that comes back has the value and the momentum that it
    gained while it was masked.

    Groups run along the input channels of each place of a kernel, as hardware reads a convolution
    (kernel height, kernel width, input channels). Where a neuron's fan-in is no multiple of m, the
    source fails, or lets groups cross neurons; here the rest of each neuron is a shorter group,
    which keeps n / m of its weights, rounded up in some and down in others, so that the number of
    active weights is exact.

    Args:
        m: size of a group. By default the hardware's 4, or a larger power of two, where the
            sparsity allows it, else the smallest that fits: 2:4 at 0.5, 1:4 at 0.75, 1:10 at 0.9.
        decay: lambda_w of the paper, 0.0002 there; 0 is plain STE.

    Raises:
        ValueError: the sparsity is not 1 - n / m.
    """

    made_with: ClassVar[dict[str, str] | None] = {"m": "m"}

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        sparsity: float,
        m: Annotated[int, Field(ge=2, le=LARGEST)] | None = None,
        decay: Annotated[float, Field(ge=0)] = 2e-4,
        keep_dense: Annotated[tuple[str, ...], LATER] = (),
        seed: int = 0,
    ) -> None:
        self.n, self.m = pattern(sparsity, m)
        self.decay = decay
        options: dict[str, Any] = {"distribution": "uniform", "keep_dense": keep_dense}
        super().__init__(model, optimizer, sparsity=sparsity, seed=seed, **options)

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """A sparsity that is not 1 - n / m."""
        try:
            pattern(cell.sparsity, options.get("m"))
        except ValueError as error:
            return str(error)
        return None

    def initial_masks(self, counts: dict[str, int]) -> dict[str, Tensor]:
        """The largest weights of each group."""
        density = Fraction(self.n, self.m)
        self.group_counts: dict[str, Tensor] = {}
        """How many weights each group keeps, [neurons, groups, 1]."""
        spread = Fraction(0)
        self.layouts = neurons(self.model, self.parameters)
        shapes = row_shapes(self.layouts, self.parameters.items())
        for name, parameter in self.parameters.items():
            rows, fan_in = shapes[name][0], math.prod(shapes[name][1:])
            kept = torch.full((rows, math.ceil(fan_in / self.m), 1), self.n)
            if fan_in % self.m:
                # Rounding the running sum gives each short group its share, rounded up or down.
                sums = [spread + i * density * (fan_in % self.m) for i in range(rows + 1)]
                rounded = torch.tensor([round(total) for total in sums])
                kept[:, -1, 0] = rounded.diff()
                spread = sums[-1]
            if not kept.any():
                raise InfeasibleSparsityError(
                    f"sparsity {self.sparsity_wanted:g} keeps none of the {rows * fan_in} "
                    f"weights of layer {name!r}"
                )
            self.group_counts[name] = kept.to(parameter.device)
        with torch.no_grad():
            return {name: self.largest(name) for name in self.parameters}

    def forward_masks(self) -> dict[str, Tensor]:
        """The largest weights of each group, where the layer trains."""
        return {n: self.largest(n) for n, p in self.parameters.items() if p.requires_grad}

    def largest(self, name: str) -> Tensor:
        """Mask of the largest weights of each group of a layer, with the layer's shape."""
        weight = self.parameters[name]
        layout = self.layouts[name]
        by_place = layout.rows(weight.abs()).movedim(1, -1)
        rows = by_place.flatten(1)
        kept = self.group_counts[name]
        padding = kept.shape[1] * self.m - rows.shape[1]
        rows = torch.nn.functional.pad(rows, (0, padding), value=-1.0)
        best = top_of_rows(rows.reshape(len(rows), -1, self.m), kept).flatten(1)
        best = best[:, : best.shape[1] - padding].reshape(by_place.shape).movedim(-1, 1)
        return torch.empty_like(weight, dtype=torch.bool).copy_(layout.back(best))

    @contextmanager
    def shown(self, batch: Any, loss_fn: LossFunction) -> Iterator[None]:
        """Show the largest weights; the others decay through the gradient."""
        with super().shown(batch, loss_fn):
            yield
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                if parameter.grad is not None:
                    hidden = self.all_of(name) * ~self.masks[name]
                    parameter.grad.add_(hidden, alpha=self.decay)

    def gradient_active(self) -> dict[str, int]:
        """All weights: the gradient goes straight through."""
        return {name: parameter.numel() for name, parameter in self.parameters.items()}


def pattern(sparsity: float, m: int | None) -> tuple[int, int]:
    """n and m with sparsity 1 - n / m.

    Raises:
        ValueError: there are none; it names those that come near.
    """
    powers = (2**power for power in range(2, LARGEST.bit_length()))
    for size in (m,) if m else (*powers, *range(2, LARGEST + 1)):
        kept = round((1 - sparsity) * size)
        if 0 < kept < size and math.isclose(1 - kept / size, sparsity, abs_tol=1e-9):
            return kept, size
    if m:
        near = sorted(range(1, m), key=lambda kept: abs(1 - kept / m - sparsity))[:3]
        possible = ", ".join(f"{1 - kept / m:.4g} ({kept}:{m})" for kept in sorted(near))
        raise ValueError(f"n:m with m = {m} has no sparsity {sparsity:g}; possible are {possible}")
    least = Fraction(1, LARGEST)
    near_by = Fraction(1 - sparsity).limit_denominator(LARGEST)
    near_by = min(max(near_by, least), 1 - least)
    found = f"{1 - near_by} ({near_by.numerator}:{near_by.denominator})"
    raise ValueError(
        f"sparsity {sparsity:g} is no 1 - n/m with m up to {LARGEST}; the nearest is {found}"
    )
