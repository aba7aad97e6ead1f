"""Sparse-to-sparse training: what methods share that replace weights while they train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from agc.gradients.loss_scale import finite
from agc.lazy import torch
from agc.methods.base import SparseMethod
from agc.sparsity.masks import apply_masks
from agc.sparsity.nan import looked_at_together, of_layer
from agc.sparsity.schedules import SCHEDULES
from agc.sparsity.update import drop_and_grow, numbers

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

Schedule = Literal["cosine", "linear", "constant"]
Fraction = Annotated[float, Field(gt=0, le=1)]
Interval = Annotated[int, Field(ge=1)]


class DropAndGrow(SparseMethod):
    """Sparse-to-sparse training: every ``update_interval`` steps, each layer replaces a fraction
    of its active weights.

    A subclass gives :meth:`grow_scores`; by default the smallest weights are dropped. Grown
    weights start at zero with zero momentum; a weight that is dropped and grown again in one
    update keeps both, as in RigL's and ITOP's official code. The step of an update takes its
    optimizer step first.

    Args:
        drop_fraction: fraction of a layer's active weights that the first update replaces.
        drop_schedule: how this fraction falls until the last update.
        update_interval: steps between updates.
        total_steps: optimizer steps of the whole training.
        end_fraction: no update from this fraction of the training on.
    """

    grows_by_gradient: ClassVar[bool] = False
    """Whether an update needs the gradient at pruned weights."""

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        total_steps: int,
        drop_fraction: Fraction = 0.3,
        drop_schedule: Schedule = "cosine",
        update_interval: Interval = 100,
        end_fraction: Fraction = 0.75,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, **options)
        self.total_steps = total_steps
        self.drop_fraction = drop_fraction
        self.drop_schedule = SCHEDULES[drop_schedule]
        self.update_interval = update_interval
        self.end_step = int(end_fraction * total_steps)
        self.gradients: dict[str, Tensor] = {}
        """Raw gradients of the prunable weights, kept for the step of an update only."""

    def update_due(self, step: int) -> bool:
        """Whether ``step`` (1-based) ends with an update."""
        return step % self.update_interval == 0 and step < self.end_step

    def observe(self, loss: Tensor | None = None) -> None:
        """Keep the raw gradient if this step ends with an update that grows by it."""
        if self.grows_by_gradient and self.due_at(self.steps + 1):
            self.gradients = self.raw_gradients()
            self.dense_gradients += 1

    def raw_gradients(self) -> dict[str, Tensor]:
        """A copy of the present gradient of each prunable weight; zero where there is none.

        Raises:
            RuntimeError: no weight that trains has one.
        """
        self.need_gradients()
        return {
            name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
            for name, p in self.parameters.items()
        }

    def need_gradients(self) -> None:
        """Make sure that there is a gradient to look at.

        Raises:
            RuntimeError: no weight that trains has one.
        """
        trained = [p for p in self.parameters.values() if p.requires_grad]
        if trained and all(p.grad is None for p in trained):
            raise RuntimeError(
                f"{type(self).__name__}.observe() found no gradient in step {self.steps + 1}: call "
                "it after backward() (and scaler.unscale_), before zero_grad()"
            )

    def advance(self) -> bool:
        """Mask, and update the topology when due; not if the optimizer left the step out.

        Raises:
            FloatingPointError: the gradients that the update reads are not finite.
            RuntimeError: nobody has called :meth:`observe`.
        """
        super().advance()
        if not self.takes_update():
            self.gradients = {}
            return False
        self.check_gradients()
        with torch.no_grad(), looked_at_together():
            self.update_topology()
        self.made_update()
        self.gradients = {}
        apply_masks(self.parameters, self.masks, self.optimizer, thorough=True)
        return True

    def check_gradients(self) -> None:
        """Make sure that an update has what it reads.

        Raises:
            FloatingPointError: a gradient is not finite, though the optimizer made its step.
            RuntimeError: nobody has called :meth:`observe`.
        """
        if self.grows_by_gradient and not self.gradients:
            raise RuntimeError(
                f"{type(self).__name__} updates the topology at the end of step {self.steps} by "
                "the gradient: call observe() in each step, after backward()"
            )
        self.must_be_finite(self.gradients, "gradient")

    def must_be_finite(self, tensors: dict[str, Tensor], what: str) -> None:
        """Refuse to rank weights by what is not finite.

        Raises:
            FloatingPointError: it names the first such layer.
        """
        if not finite(tensors.values()):
            name = next(name for name, tensor in tensors.items() if not finite([tensor]))
            raise FloatingPointError(
                f"the {what} of layer {name!r} is not finite at step {self.steps}, which updates "
                "the topology, and the optimizer has made its step: the training diverges. (Where "
                "a GradScaler leaves such steps out, give the method the optimizer itself.)"
            )

    def current_fraction(self) -> float:
        """Fraction of the active weights that an update replaces now."""
        return self.drop_schedule(self.drop_fraction, self.scheduled / self.end_step)

    def update_topology(self) -> None:
        """Drop and grow in each layer that trains; each keeps its number of active weights."""
        fraction = self.current_fraction()
        for name, active in self.active().items():
            if self.parameters[name].requires_grad:
                self.replace(name, int(fraction * active))

    def replace(self, name: str, drop: int, grow: int | None = None) -> None:
        """Drop and grow so many weights of a layer; as many, unless ``grow`` says otherwise."""
        mask, active = self.masks[name], self.active()[name]
        scores = self.drop_scores(name), self.grow_scores(name)
        with of_layer(name):
            mask.copy_(drop_and_grow(mask, *scores, drop, grow=grow, active=active))
        self.note_active(name, sum(numbers(active, mask.numel(), drop, grow=grow)))
        self.explored[name] |= mask

    def drop_scores(self, name: str) -> Tensor:
        """Score of each weight of a layer; the lowest active ones are dropped."""
        return self.parameters[name].abs()

    def grow_scores(self, name: str) -> Tensor:
        """Score of each weight of a layer; the highest inactive ones are grown."""
        raise NotImplementedError

    def random_scores(self, name: str) -> Tensor:
        """A random order of the weights of a layer, uniform in [0, 1)."""
        weight = self.parameters[name]
        generator = self.generator(f"grow/{name}", weight.device)
        return torch.rand(weight.shape, generator=generator, device=weight.device)
