"""Flying Bird+: Flying Bird whose number of weights follows the training."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc.lazy import torch
from agc.methods.flying_bird import FlyingBird
from agc.methods.shared.drop_and_grow import Fraction, Interval
from agc.registry import METHODS
from agc.sparsity.masks import apply_masks
from agc.sparsity.nan import looked_at_together
from agc.sparsity.update import drop_and_grow

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.gradients.gradient import LossFunction

Ratio = Annotated[float, Field(ge=0)]


@METHODS.register(
    "flying-bird+",
    family="sparse to sparse",
    source="arXiv 2202.09844",
    needs="the loss of each step",
)
class FlyingBirdPlus(FlyingBird):
    """Grows more while the loss stalls, drops more while it falls, and ends at its sparsity.

    In the second half of the training an update of VITA-Group/Sparsity-Win-Robust-Generalization
    drops 0.4 times more weights than Flying Bird if the gap between robust training and
    validation accuracy grew in at least half of the last 4 epochs, and grows 0.05 times more if
    the validation loss rose in at least half of them. There the sparsity ends where this leads.

    Departures, so that cells of one sparsity compare: a layer never has fewer weights than the
    target gives it, and the last update returns to them exactly (there a layer that has become
    full stays so); the FLOPs count what was above.
    And a method here does not see the validation data: the training loss, its mean between two
    updates, stands in. Where it rose, more grows; where it fell, which is when the gap opens,
    more is dropped. Everything else is :class:`~agc.methods.flying_bird.FlyingBird`'s.

    Args:
        window: changes of the loss that are looked at.
        threshold: share of them that must point one way.
        drop_more: additional weights to drop, relative to those dropped anyway.
        grow_more: additional weights to grow, likewise.
        start_fraction: the number of weights adapts from this fraction of the training on.
    """

    state = ("history", "losses", "loss_sum")

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        window: Interval = 4,
        threshold: Fraction = 0.5,
        drop_more: Ratio = 0.4,
        grow_more: Ratio = 0.05,
        start_fraction: Annotated[float, Field(ge=0, le=1)] = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, **options)
        self.window = window
        self.threshold = threshold
        self.drop_more = drop_more
        self.grow_more = grow_more
        self.start_step = start_fraction * self.total_steps
        self.counts = self.active()
        """Fewest active weights of each layer, and those it has in the end."""
        self.last_update = next(filter(self.update_due, range(self.end_step, 0, -1)), 0)
        self.history: list[float] = []
        """Mean training loss between updates."""
        self.losses = 0
        self.loss_sum: Tensor | None = None
        self.loss: Tensor | None = None
        """Of the present step."""

    def observe(self, loss: Tensor | None = None) -> None:
        """Note the loss, without a wait for the device.

        Raises:
            ValueError: no loss.
        """
        if loss is None:
            raise ValueError("flying-bird+ follows the loss: call method.observe(loss)")
        super().observe(loss)
        self.loss = loss.detach().double()

    def count_step(self) -> None:
        """Take the loss of a step that was made into the mean."""
        super().count_step()
        loss, self.loss = self.loss, None
        if loss is not None and not self.left_out():
            self.loss_sum = loss if self.loss_sum is None else self.loss_sum + loss
            self.losses += 1

    def update_topology(self) -> None:
        """Flying Bird's update, with more dropped or more grown."""
        self.close_window()
        fraction = self.current_fraction()
        rose, fell = self.trend()
        for name, active in self.active().items():
            mask = self.masks[name]
            if not self.parameters[name].requires_grad:
                continue
            drop = math.ceil(fraction * active)
            more = int(self.grow_more * drop) if rose else 0
            less = math.ceil(self.drop_more * fraction * active) if fell else 0
            goal = min(mask.numel(), max(self.counts[name], active + more - less))
            if self.last_update in self.served(self.steps):
                goal = self.counts[name]
            drop = min(drop + max(0, active - goal), active)
            self.replace(name, drop, goal - active + drop)

    def close_window(self) -> None:
        """Take the mean loss since the last update into the history."""
        if self.loss_sum is not None:
            mean = self.replicas.mean({"loss": self.loss_sum / self.losses})["loss"]
            self.history = [*self.history, mean.item()][-self.window - 1 :]
        self.loss_sum, self.losses = None, 0

    def trend(self) -> tuple[bool, bool]:
        """Whether the loss rose, and whether it fell, in enough of the last windows."""
        changes = [b - a for a, b in zip(self.history, self.history[1:], strict=False)]
        if self.steps < self.start_step or not changes:
            return False, False
        rises = sum(change >= 0 for change in changes) / len(changes)
        return rises >= self.threshold, 1 - rises >= self.threshold

    def end(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Drop what is above the target, if the training ended before its last update."""
        with torch.no_grad(), looked_at_together():
            for name, active in self.active().items():
                if self.parameters[name].requires_grad:
                    mask, scores = self.masks[name], self.drop_scores(name)
                    excess = active - self.counts[name]
                    mask.copy_(drop_and_grow(mask, scores, scores, excess, grow=0, active=active))
        apply_masks(self.parameters, self.masks, self.optimizer)
