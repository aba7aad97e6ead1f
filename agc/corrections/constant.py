"""The control that asks whether an adaptive coefficient is worth anything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from agc.corrections.shared.stored import Gigabytes, Stored
from agc.cost.units import Cost
from agc.registry import CORRECTIONS, LATER

if TYPE_CHECKING:
    from torch.nn import Module

    from agc.gradients.gradient import LossFunction


@CORRECTIONS.register("constant", source="control for arXiv 2301.03573")
class Constant(Stored):
    """g + c (u - q) with a fixed c: gradient correction (AGC) without anything adaptive.

    Args:
        c: the coefficient; 1 is SVRG.
        start: epochs at first that are plain: no pass, no second gradient. The declared cost is
            that of an epoch after them.
        pass_images: what u is of: ``prepared`` as in a step, or ``raw``, neither attacked nor
            augmented, as in AGC's variant a-bsr. With ``raw`` the correction is biased where the
            steps see other images.
        store: gigabytes for gradients of the pass; see :class:`~agc.corrections.svrg.SVRG`.
    """

    off: ClassVar[dict[str, Any] | None] = {"c": 0.0}
    state = later_state = ("epochs",)

    def __init__(
        self,
        model: Module,
        *,
        c: float = 0.1,
        start: Annotated[int, Field(ge=0), LATER] = 0,
        pass_images: Annotated[Literal["prepared", "raw"], LATER] = "prepared",
        store: Gigabytes = 0.0,
    ) -> None:
        super().__init__(model, store=store)
        self.c, self.start, self.pass_images = c, start, pass_images
        self.epochs = 0

    @property
    def waiting(self) -> bool:
        """Whether this epoch is one of the first, plain ones."""
        return 0 < self.epochs <= self.start

    @property
    def coefficient(self) -> float:
        """The fixed c, or 0 at first."""
        return 0.0 if self.waiting else self.c

    def begin_epoch(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """New snapshot, once the plain epochs are over."""
        self.epochs += 1
        if not self.waiting:
            super().begin_epoch(batches, loss_fn)

    def correct(self, batch: Any, loss_fn: LossFunction) -> None:
        """Add c (u - q) to the gradients, once the plain epochs are over."""
        if not self.waiting:
            super().correct(batch, loss_fn)

    def diagnostics(self) -> dict[str, float]:
        """The coefficient."""
        return {"coefficient": self.coefficient}

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """A pass (3), and a second gradient in each step (3) unless it is stored."""
        prepared = options.get("pass_images", "prepared") == "prepared"
        return replace(super().cost(**options), prepared_pass=prepared)
