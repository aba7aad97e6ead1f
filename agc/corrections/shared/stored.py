"""Older gradients that are kept from the pass, where a step sees the very images that the pass saw.

The pass for u takes the gradient of each batch at the point that becomes the snapshot. With a
locked augmentation the steps of the epoch see these batches again, image by image and with the
same noise, so that gradient is q of the step, to the bit. Kept, it need not be taken again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc.corrections.shared.control_variate import ControlVariate, Gradient
from agc.cost.units import Cost
from agc.errors import UserError
from agc.registry import LATER, OBJECTIVES

if TYPE_CHECKING:
    from torch.nn import Module

    from agc.gradients.gradient import LossFunction

Gigabytes = Annotated[float, Field(ge=0), LATER]


class Stored(ControlVariate):
    """A control variate that may keep the gradients of its pass: an epoch costs 3 units less.

    Args:
        model: see :class:`~agc.corrections.base.Correction`.
        store: gigabytes that the gradients of an epoch's batches may take, on the model's device;
            0 keeps none. They are of all weights, as a weight that grows within the epoch needs
            its own.
    """

    def __init__(self, model: Module, *, store: Gigabytes = 0.0) -> None:
        super().__init__(model)
        self.store = store
        self.stored: dict[int, Gradient] = {}
        """By the noise of the batch, which is its own within an epoch."""

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """A store whose gradients would not be those of the steps."""
        if not options.get("store"):
            return None
        if not cell.training.augmentation.locked:
            return "store needs training.augmentation.locked: steps must see the images of the pass"
        if cell.communication.name != "none":
            return "store: workers have shares of a batch, and what is kept is of whole ones"
        if OBJECTIVES[cell.objective.name].target.adversarial:
            return "store: an attack makes other images in a step than in the pass"
        if options.get("pass_images", "prepared") != "prepared":
            return f"store: with pass_images {options['pass_images']!r} steps see other images"
        return None

    def mean_gradient(self, batches: Iterable[Any], loss_fn: LossFunction) -> Gradient:
        """The pass, whose gradients are kept until the next one.

        Raises:
            UserError: they would take more than the store.
        """
        self.stored = {}
        if self.store:
            size = sum(p.numel() * p.element_size() for p in self.parameters.values())
            gigabytes = 1e-9 * len(batches) * size
            if gigabytes > self.store:
                raise UserError(
                    f"{len(batches)} gradients of an epoch take {gigabytes:.3g} GB, more than "
                    f"store = {self.store:g}"
                )
        return super().mean_gradient(batches, loss_fn)

    def pass_gradient(self, batch: Any, loss_fn: LossFunction) -> Gradient:
        """Gradient of a batch within the pass, which may be kept."""
        return self.kept(batch, super().pass_gradient(batch, loss_fn))

    def kept(self, batch: Any, gradient: Gradient) -> Gradient:
        """The same gradient; the store has it too, if there is one.

        Raises:
            UserError: the batch does not say which one it is.
        """
        if self.store:
            if not hasattr(batch, "noise"):
                raise UserError("store needs batches with a noise, as those of the suite have")
            self.stored[batch.noise] = gradient
        return gradient

    def reference_gradient(self, batch: Any, loss_fn: LossFunction) -> Gradient:
        """q, from the store if there is one.

        Raises:
            RuntimeError: the pass has not seen this batch.
        """
        if not self.store:
            return super().reference_gradient(batch, loss_fn)
        if batch.noise not in self.stored:
            raise RuntimeError("a step sees a batch that the pass has not seen, so none is stored")
        self.noise.notes.clear()  # of passes that nobody replays
        return self.replicas.mean(self.stored[batch.noise])

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """A pass (3), and a second gradient in each step (3) unless it is stored."""
        return Cost(step=0 if options.get("store") else 3, snapshot=3, prepared_pass=1, tensors=2)
