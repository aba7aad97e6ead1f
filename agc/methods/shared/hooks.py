"""What a step asks of a method, and the answers of one that leaves the network alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from agc.gradients.loss_scale import finite
from agc.lazy import torch
from agc.methods.shared.left_out import StepWatch
from agc.sparsity.masks import apply_masks, multiplied

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter
    from torch.optim import Optimizer

    from agc.gradients.gradient import LossFunction


@dataclass
class Update:
    """What a step has done to the topology; known when the step has ended."""

    changed: bool = False


class Method:
    """Leaves the network as it is: what a step without a sparse method works with."""

    repeatable: ClassVar[bool] = True
    """Whether the gradient of one step may be asked for again, at other weights."""

    def __init__(self, optimizer: Optimizer | None = None) -> None:
        self.optimizer = optimizer
        self.masks: dict[str, Tensor] = {}
        self.steps = 0
        """Optimizer steps so far, those that were left out for an overflow among them."""
        self.watch = StepWatch(optimizer)
        self.made_step: bool | None = None
        """Whether the optimizer made the last step; None if nobody knows."""
        self._overflowed: bool | None = None
        self.settled = False
        """Whether nobody has moved the weights since the last step, so that what is pruned is
        zero. Who moves them before the first gradient of a step says so here."""

    def touched(self) -> tuple[dict[str, Parameter], dict[str, Tensor]]:
        """Parameters that have a mask between steps, and their masks."""
        return {}, {}

    def begin(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Before the first step: each iteration of ``batches`` is a pass over the data."""

    @contextmanager
    def shown(self, batch: Any, loss_fn: LossFunction) -> Iterator[None]:
        """Have the model as forward and backward pass see it: sparse, wherever its weights are.

        Afterwards the weights are what they were, and ``.grad`` what the optimizer needs.
        """
        settled, self.settled = self.settled, False
        with nullcontext() if settled else multiplied(*self.touched()):
            yield

    def observe(self, loss: Tensor | None = None) -> None:
        """Look at the raw gradient, and at the loss if it is given: after ``backward``, before any
        correction, and for the first gradient of a step alone.
        """

    @contextmanager
    def updating(self) -> Iterator[Update]:
        """Let the optimizer change the weights, then mask them and update the topology when due.

        Inside, all weights that train are there, hidden ones too. If something raises, the topology
        stays, what is pruned is zero, and the step does not count.
        """
        update = Update()
        self.settled = True
        self.watch.taken()  # what a step that failed has left there
        try:
            yield update
        except BaseException:
            self.rest()
            raise
        finally:
            self.settled = False
        update.changed = self.advance()

    def update_due(self, step: int) -> bool:
        """Whether ``step`` (1-based) ends with an update of the topology."""
        return False

    def due_at(self, step: int) -> bool:
        """Whether ``step`` ends with an update, one that was put off included."""
        return self.update_due(step)

    def advance(self) -> bool:
        """The optimizer has made its step: mask weights and optimizer state, and update.

        Returns:
            Whether the topology has changed.
        """
        self.count_step()
        self.rest()
        return False

    def count_step(self) -> None:
        """Count a step, and take into memory what is to be remembered of one that was made."""
        self.steps += 1
        self.made_step, self._overflowed = self.watch.taken(), None

    def left_out(self) -> bool:
        """Whether the optimizer left the last step out, as a gradient overflowed.

        Where a step was made nothing waits for the device, whatever the gradients. Where none was
        seen, and none ever before, or in float16 without an optimizer, the gradients tell.
        """
        if self.made_step:
            return False
        weights = self.touched()[0].values()
        if self.made_step is None and not any(weight.dtype == torch.float16 for weight in weights):
            return False
        if self._overflowed is None:
            gradients = [weight.grad for weight in weights if weight.grad is not None]
            gradients += self.watch.gradients()
            self._overflowed = self.watch.seen or not finite(gradients)
        return self._overflowed

    def rest(self) -> None:
        """Zero what is pruned, in weights and optimizer state."""
        apply_masks(*self.touched(), self.optimizer)

    def mask_gradients(self) -> None:
        """Zero the gradient of what is pruned, for an optimizer that takes it for the slope."""
        parameters, masks = self.touched()
        gradients = {n: parameters[n].grad for n in masks if parameters[n].grad is not None}
        apply_masks(gradients, {name: masks[name] for name in gradients})

    def end(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """After the last step: leave in the model the weights that are to be used."""
