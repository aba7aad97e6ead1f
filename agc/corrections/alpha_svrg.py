"""α-SVRG (Yin, Xu et al., ICLR 2025): a control variate whose weight is scheduled."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from agc.corrections.shared.stored import Gigabytes, Stored
from agc.registry import CORRECTIONS

if TYPE_CHECKING:
    from torch.nn import Module

    from agc.gradients.gradient import LossFunction


@CORRECTIONS.register("alpha-svrg", source="ICLR 2025, Yin et al.")
class AlphaSVRG(Stored):
    """g + α (u - q) with α falling from ``alpha`` to 0 over the epochs, one value a snapshot.

    Args:
        alpha: first coefficient; the source takes 0.5 on small data sets and 0.75 on large ones.
        schedule: ``linear``, or ``constant``.
        epochs: epochs of the whole training.
        store: gigabytes for gradients of the pass; see :class:`~agc.corrections.svrg.SVRG`.
    """

    off: ClassVar[dict[str, Any] | None] = {"alpha": 0.0}
    state = ("epoch",)

    def __init__(
        self,
        model: Module,
        *,
        epochs: int,
        alpha: Annotated[float, Field(ge=0)] = 0.5,
        schedule: Literal["linear", "constant"] = "linear",
        store: Gigabytes = 0.0,
    ) -> None:
        super().__init__(model, store=store)
        self.alpha = alpha
        self.linear = schedule == "linear"
        self.epochs = epochs
        self.epoch = -1

    @property
    def coefficient(self) -> float:
        """The schedule's value in this epoch."""
        if not self.linear or self.epochs == 1:
            return self.alpha
        return self.alpha * (1 - max(self.epoch, 0) / (self.epochs - 1))

    def begin_epoch(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Next value of the schedule, new snapshot."""
        self.epoch += 1
        super().begin_epoch(batches, loss_fn)

    def diagnostics(self) -> dict[str, float]:
        """The coefficient."""
        return {"coefficient": self.coefficient}
