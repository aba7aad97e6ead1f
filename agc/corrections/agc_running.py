"""A cheaper gradient correction (AGC): no pass of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from agc.corrections.agc import AGC
from agc.cost.units import Cost
from agc.registry import CORRECTIONS

if TYPE_CHECKING:
    from torch.nn import Module


@CORRECTIONS.register("agc-running", source="after arXiv 2301.03573")
class RunningAGC(AGC):
    """g + γτ (u - q) with u the mean of the last epoch's gradients, and τ measured in training.

    6 units a batch instead of 10. u lags behind: it is the mean along the last epoch's path, not
    at the snapshot, so the correction has a small bias there. The first epoch is plain.

    Args:
        gamma: scale of the coefficient; the estimate needs no margin, so 1.
        alpha: weight of the newest epoch's estimate.
        estimator: ``gradient``, ``layer`` or ``online``, as in ``agc``.
    """

    off: ClassVar[dict[str, Any] | None] = {"gamma": 0.0}

    def __init__(
        self,
        model: Module,
        *,
        gamma: Annotated[float, Field(ge=0)] = 1.0,
        alpha: Annotated[float, Field(ge=0, le=1)] = 0.3,
        estimator: Literal["gradient", "layer", "online"] = "gradient",
    ) -> None:
        super().__init__(
            model, gamma=gamma, alpha=alpha, estimator=estimator, full_gradient="running"
        )

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """Every combination makes sense."""
        return None

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """A second gradient in each step."""
        return Cost(step=3, tensors=3)
