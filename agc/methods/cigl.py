"""CigL: calibrating the rigged lottery."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc.lazy import torch
from agc.methods.rigl_swa import RigLSWA
from agc.registry import METHODS
from agc.sparsity.masks import multiplied

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.gradients.gradient import LossFunction


@METHODS.register(
    "cigl",
    family="sparse to sparse",
    source="ICLR 2023, StevenBoys/CigL",
    needs="the dense gradient at updates, two copies of the weights, a pass over the data at "
    "the end",
)
class CigL(RigLSWA):
    """RigL with a random mask on the active weights of each step, and averaged weights.

    Each step draws Z: an active weight is 0 with probability r, else 1 / (1 - r), so that its mean
    is itself. The forward pass sees Z * w; the gradient of w is Z times what comes back, after any
    correction of it; at rest the network has w. In the last phase Z * w is averaged, as the paper
    has it; see :class:`~agc.methods.rigl_swa.RigLSWA`, which is the control without Z. Growth reads
    the raw gradient at Z * w, drops |w|; dropped-then-regrown weights, values and momenta are
    RigL's, and the optimizer steps first.

    In the official code the mask changes between backward pass and step, so that a step belongs
    to the mask before, and a step that updates the topology takes no optimizer step; here neither
    is so. With ``drop_rate`` = 0 and ``average_from`` = 1 it is RigL, to the bit.

    Args:
        drop_rate: r; 0.01 on CIFAR-10 and 0.1 on CIFAR-100 in the official code.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        drop_rate: Annotated[float, Field(ge=0, lt=1)] = 0.01,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, **options)
        self.drop_rate = drop_rate
        self.factors: dict[str, Tensor] = {}
        """Z of the last step, for each layer that trains."""

    @contextmanager
    def shown(self, batch: Any, loss_fn: LossFunction) -> Iterator[None]:
        """Draw Z and multiply the active weights by it; their gradient is Z times that of Z * w."""
        names = [n for n, p in self.parameters.items() if p.requires_grad and self.drop_rate]
        self.factors = {name: self.random_factors(name) for name in names}
        trained = {name: self.parameters[name] for name in names}
        with super().shown(batch, loss_fn), multiplied(trained, self.factors):
            yield
        with torch.no_grad():
            for name, parameter in trained.items():
                if parameter.grad is not None:
                    parameter.grad.mul_(self.factors[name])

    def random_factors(self, name: str) -> Tensor:
        """0 or 1 / (1 - r) where a layer is active, 1 elsewhere."""
        weight = self.parameters[name]
        generator = self.generator(f"random mask/{name}", weight.device)
        draws = torch.rand(weight.shape, generator=generator, device=weight.device)
        kept = (draws >= self.drop_rate).to(weight.dtype) / (1 - self.drop_rate)
        return torch.where(self.masks[name], kept, 1.0)

    def snapshot(self, name: str, parameter: Tensor) -> Tensor:
        """Z * w, with the Z of the last step."""
        return parameter * self.factors[name] if name in self.factors else parameter
