"""MEST: memory-economic sparse training, by elastic mutation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from agc.lazy import torch
from agc.methods.shared.drop_and_grow import DropAndGrow, Fraction
from agc.registry import METHODS
from agc.sparsity.masks import apply_masks
from agc.sparsity.nan import of_layer
from agc.sparsity.update import drop_and_grow, grown, numbers

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.gradients.gradient import LossFunction


@METHODS.register(
    "mest",
    family="sparse to sparse",
    source="arXiv 2110.14032",
    needs="nothing; with em&s, room for more weights in training",
)
class MEST(DropAndGrow):
    """Weights of low |w| + lambda |g| go and random ones come, in numbers that fall in steps.

    ``em`` (elastic mutation) drops and grows the same number of weights in each layer. ``em&s``
    (soft memory bound) grows beyond the layer's number, trains, and drops down to it at the next
    update, so that a grown weight is judged before an old one goes: it trains with more weights
    than the target until mutation ends, which the FLOPs count. From boone891214/MEST: with 0.9 of
    the weights pruned, a mutation is 0.2 of the active ones for ``em`` and 0.5 for ``em&s``, it
    is halved after 90 of 160 epochs and ends after 120.

    Every grown weight starts at zero with zero momentum, one that was dropped in the same update
    too. The score reads the raw gradient of the update's own step, at active weights only, which
    every step has anyway (officially: of the step before). The optimizer steps first. Updates come
    every ``update_interval`` steps; there, every 5 epochs.

    Args:
        mode: ``em`` or ``em&s``.
        gradient_weight: lambda. The value is ours: the official scripts leave it at 0, which is
            magnitude alone.
        drop_fraction: size of a mutation in active weights of the layer; None takes the mode's.
        drop_schedule: ``steps`` is the source's; or one that falls until ``end_fraction``.
        end_fraction: no mutation from this fraction of the training on.
    """

    made_with: ClassVar[dict[str, str] | None] = {"a soft memory bound": "soft"}

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        mode: Literal["em", "em&s"] = "em",
        gradient_weight: Annotated[float, Field(ge=0)] = 0.01,
        drop_fraction: Fraction | None = None,
        drop_schedule: Literal["steps", "cosine", "linear", "constant"] = "steps",
        end_fraction: Fraction = 0.75,
        **options: Any,
    ) -> None:
        self.soft = mode == "em&s"
        self.gradient_weight = gradient_weight
        self.counts: dict[str, int] = {}
        """Active weights of each layer in the end."""
        fraction = drop_fraction or (0.5 if self.soft else 0.2)
        self.first_fraction = fraction
        super().__init__(
            model,
            optimizer,
            drop_fraction=fraction,
            drop_schedule="constant" if drop_schedule == "steps" else drop_schedule,
            end_fraction=end_fraction,
            **options,
        )
        self.halves = drop_schedule == "steps"

    def initial_masks(self, counts: dict[str, int]) -> dict[str, Tensor]:
        """Random; with the soft memory bound, the first mutation's weights are there already."""
        self.counts = dict(counts)
        more = {
            name: self.extra(name, self.first_fraction) if p.requires_grad else 0
            for name, p in self.parameters.items()
        }
        return super().initial_masks({name: counts[name] + more[name] for name in counts})

    def extra(self, name: str, fraction: float) -> int:
        """Number of weights that a layer holds above its own, within its size."""
        wanted = int(fraction * self.counts[name]) if self.soft else 0
        return min(wanted, self.parameters[name].numel() - self.counts[name])

    def current_fraction(self) -> float:
        """Size of the mutation now; 0 when it has ended."""
        if self.scheduled >= self.end_step:
            return 0.0
        late = self.halves and self.scheduled >= 0.75 * self.end_step
        return super().current_fraction() / (2 if late else 1)

    def update_due(self, step: int) -> bool:
        """The first update past the end of mutation drops what is above the target."""
        return step % self.update_interval == 0 and step - self.update_interval < self.end_step

    def observe(self, loss: Tensor | None = None) -> None:
        """Keep the raw gradient if this step ends with an update."""
        if self.due_at(self.steps + 1):
            self.gradients = self.raw_gradients()

    def drop_scores(self, name: str) -> Tensor:
        """Magnitude of the weight plus lambda times that of its gradient."""
        magnitude = super().drop_scores(name)
        if name not in self.gradients:
            return magnitude
        return magnitude + self.gradient_weight * self.gradients[name].abs()

    def update_topology(self) -> None:
        """Mutate each layer that trains."""
        fraction = self.current_fraction()
        for name, active in self.active().items():
            if self.parameters[name].requires_grad:
                goal = self.counts[name] + self.extra(name, fraction)
                mutated = 0 if self.soft else int(fraction * self.counts[name])
                self.mutate(name, active - self.counts[name] + mutated, goal)

    def mutate(self, name: str, drop: int, goal: int) -> None:
        """Drop so many weights of a layer, then grow random ones until ``goal`` are active."""
        weight, mask, active = self.parameters[name], self.masks[name], self.active()[name]
        scores = self.drop_scores(name)
        with of_layer(name):
            mask.copy_(drop_and_grow(mask, scores, scores, drop, grow=0, active=active))
        # At once, so that a weight that comes straight back starts at zero.
        apply_masks({name: weight}, {name: mask}, self.optimizer)
        left, _ = numbers(active, mask.numel(), drop, grow=0)
        mask.copy_(grown(mask, self.random_scores(name), max(0, goal - left)))
        self.note_active(name, max(left, goal))
        self.explored[name] |= mask

    def end(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Drop what is above the target, if no update came after the end of mutation."""
        with torch.no_grad():
            for name, active in self.active().items():
                if self.parameters[name].requires_grad:
                    self.mutate(name, active - self.counts[name], self.counts[name])
