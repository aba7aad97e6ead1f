"""The gradient of a step's batch at an older point, beside the one at the present weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from agc.corrections.base import Correction
from agc.gradients.loss_scale import LossScale
from agc.gradients.micro_batches import parts
from agc.gradients.noise import NoiseReplay
from agc.gradients.reference import ReferencePoint
from agc.state import unlike

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from agc.gradients.gradient import LossFunction


class OlderPoint(Correction):
    """Keeps a reference point; an entry says when it moves, and what its gradients are for."""

    state = ("reference",)

    def __init__(self, model: Module) -> None:
        super().__init__(model)
        self.reference: ReferencePoint | None = None
        self.older_gradient = ReferencePoint.gradient
        """What computes the gradient at a point."""
        self.noise = NoiseReplay(*self.replicas.ways)
        self.scale = LossScale(*self.replicas.ways)

    def point_here(self) -> ReferencePoint:
        """A reference point at the present weights."""
        return ReferencePoint(self.model, self.passes)

    def move_reference(self) -> None:
        """Move the reference point to the present weights."""
        self.noise.watch.renew()
        if self.reference is None:
            self.reference = self.point_here()
        else:
            self.reference.move_here()

    def reference_gradient(self, batch: Any, loss_fn: LossFunction) -> dict[str, Tensor]:
        """q, with the same random noise as the batch's forward pass had, over all processes."""
        kept = self.reference.kept() if self.repeated else nullcontext()
        with kept, self.noise.replayed(len(parts(batch))):
            older = self.older_gradient(self.reference, batch, loss_fn, self.scale)
        return self.replicas.mean(older)

    def unfit(self, name: str, saved: Any) -> Iterator[str]:
        """The point is one of this network; buffers may have come since."""
        if name != "reference" or not isinstance(saved, dict):
            yield from super().unfit(name, saved)
            return
        known = {key: saved[key] for key in self._named if key in saved}
        yield from unlike(name, known, self._named)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave: with a reference point, or without."""
        self.check_state(state)
        self.reference = None if state["reference"] is None else self.point_here()
        super().load_state_dict(state)
