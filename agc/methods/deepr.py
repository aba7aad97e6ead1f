"""DeepR: deep rewiring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc.gradients.lists import stacked
from agc.lazy import torch
from agc.methods.base import SparseMethod
from agc.registry import METHODS
from agc.sparsity.masks import apply_masks
from agc.sparsity.update import grown

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

Strength = Annotated[float, Field(ge=0)]

SMALLEST = 1e-12
"""Parameter of a connection just made, as in the official code."""


@METHODS.register(
    "deepr",
    family="sparse to sparse",
    source="arXiv 1711.05136",
    needs="a sign for each weight, the learning rate",
)
class DeepR(SparseMethod):
    """Each weight has a fixed sign; a connection that crosses zero dies, a random one is made.

    A connection is theta > 0 and its weight is sign * theta. On connected weights a gradient step
    on theta is the same step on the weight, so optimizer and correction work on the weights.
    After each optimizer step, as in guillaumeBellec/deep_rewiring: connected thetas move by
    lr * (noise * N(0, 1) - l1); those at or below 0 die; as many are drawn from all unconnected
    places of the layer, those that just died included, and start at theta = 1e-12. No gradient is
    read. Signs are those of the dense initial weights, which are as good as random, so that all
    methods start from the same weights; the official code draws them.

    The source trains by plain SGD. Here the momentum of a connection dies with it, and a new
    one, even where one just died, starts with none. Float16 weights start at their smallest
    normal number.

    Args:
        optimizer: its learning rate scales noise and L1.
        l1: strength of the L1 penalty on theta.
        noise: standard deviation of the noise.

    Raises:
        ValueError: no optimizer.
    """

    state = ("positive",)
    adds_noise = True

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        l1: Strength = 1e-5,
        noise: Strength = 1e-5,
        **options: Any,
    ) -> None:
        if optimizer is None:
            raise ValueError("rewiring needs the optimizer: its learning rate scales the noise")
        self.positive: dict[str, Tensor] = {}
        """Whether each weight's sign is plus."""
        super().__init__(model, optimizer, **options)
        self.l1 = l1
        self.noise = noise
        # Numbers, not the groups: loading the optimizer's state makes new groups.
        group_of = {id(p): i for i, g in enumerate(optimizer.param_groups) for p in g["params"]}
        self.groups = {name: group_of.get(id(p)) for name, p in self.parameters.items()}

    def initial_masks(self, counts: dict[str, int]) -> dict[str, Tensor]:
        """Random; the signs are taken while the weights are still dense."""
        for name, p in self.parameters.items():
            coin = torch.rand(p.shape, generator=self.generator(f"sign/{name}")) < 0.5
            self.positive[name] = (p.detach() > 0) | ((p.detach() == 0) & coin.to(p.device))
        return super().initial_masks(counts)

    def update_due(self, step: int) -> bool:
        """Connections may die at every step."""
        return True

    def advance(self) -> bool:
        """Mask, move the connected thetas, and replace those that have died; a step that the
        optimizer left out moves none.
        """
        super().advance()
        trained = [name for name, p in self.parameters.items() if p.requires_grad]
        if not trained or self.left_out():
            return False
        with torch.no_grad():
            for name in trained:
                self.move(name)
            gone = {n: self.masks[n] & (self.theta(n) <= 0) for n in trained}
            # One wait for the device, for all layers together.
            counts = stacked(mask.sum() for mask in gone.values()).tolist()
            dead, active = dict(zip(trained, counts, strict=True)), self.active()
            if not any(dead.values()):
                return False
            born = self.births(dead, {name: active[name] for name in trained})
            for name in trained:
                if dead[name] or born[name]:
                    self.rewire(name, gone[name], born[name])
                    self.note_active(name, active[name] - dead[name] + born[name])
        return True

    def theta(self, name: str) -> Tensor:
        """Parameter of each connection of a layer."""
        weight = self.parameters[name]
        return torch.where(self.positive[name], weight, -weight)

    def learning_rate(self, name: str) -> float:
        """Of a layer at this step; 0 if the optimizer does not have it."""
        group = self.groups[name]
        return 0.0 if group is None else float(self.optimizer.param_groups[group]["lr"])

    def noise_scale(self, name: str) -> float:
        """Standard deviation of this step's noise on a layer's thetas."""
        return self.learning_rate(name) * self.noise

    def move(self, name: str) -> None:
        """Noise and L1 on the connected thetas of a layer."""
        weight, mask = self.parameters[name], self.masks[name]
        change = torch.zeros_like(weight)
        if self.noise:
            generator = self.generator(f"noise/{name}", weight.device)
            draws = torch.randn(weight.shape, generator=generator, device=weight.device)
            change.copy_(draws).mul_(self.noise_scale(name))
        if self.l1:
            change.sub_(self.learning_rate(name) * self.l1)
        weight.add_(torch.where(self.positive[name], change, -change).mul_(mask))

    def births(self, dead: dict[str, int], active: dict[str, int]) -> dict[str, int]:
        """Number of connections to make in each layer that trains: as many as died there.

        Args:
            dead: by layer, how many died in this step.
            active: by layer, how many there were before.
        """
        return dead

    def rewire(self, name: str, gone: Tensor, grow: int) -> None:
        """Take the dead connections of a layer away and make ``grow`` new ones."""
        weight, mask = self.parameters[name], self.masks[name]
        mask &= ~gone
        apply_masks({name: weight}, {name: mask}, self.optimizer)
        generator = self.generator(f"grow/{name}", weight.device)
        scores = torch.rand(weight.shape, generator=generator, device=weight.device)
        new = grown(mask, scores, grow)
        start = max(SMALLEST, torch.finfo(weight.dtype).tiny)
        born = torch.where(self.positive[name], start, -start).to(weight.dtype)
        weight.copy_(torch.where(new & ~mask, born, weight))
        mask.copy_(new)
        self.explored[name] |= mask
