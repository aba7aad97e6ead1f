"""STORM (Cutkosky and Orabona, arXiv 1905.10018): recursive momentum without full passes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from agc.corrections.shared.recursive import Recursive
from agc.cost.units import Cost
from agc.gradients.lists import squared_norm
from agc.lazy import torch
from agc.registry import CORRECTIONS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from agc.gradients.gradient import LossFunction


@CORRECTIONS.register("storm", source="arXiv 1905.10018")
class STORM(Recursive):
    """d = g(θ) + (1 - a) (d' - g(θ')), both gradients on the present batch.

    It is a momentum itself: the optimizer's is best 0.

    Args:
        a: weight of the fresh gradient; 1 is SGD, 0 is SARAH without restarts. Null adapts it as in
            the source: a = min(1, c η²) with η = k / (w + Σ |g|²)^(1/3).
        k: of the adaptive a.
        w: of the adaptive a.
        c: of the adaptive a.
    """

    off: ClassVar[dict[str, Any] | None] = {"a": 1.0}
    sparse_gradients = True
    state = ("squares", "present_a")
    made_with: ClassVar[dict[str, str] | None] = {"a": "a"}

    def __init__(
        self,
        model: Module,
        *,
        a: Annotated[float, Field(ge=0, le=1)] | None = 0.1,
        k: Annotated[float, Field(gt=0)] = 0.1,
        w: Annotated[float, Field(gt=0)] = 0.1,
        c: Annotated[float, Field(gt=0)] = 10.0,
    ) -> None:
        super().__init__(model)
        self.a, self.k, self.w, self.c = a, k, w, c
        self.squares: Tensor | float = 0.0
        self.present_a: Tensor | float = 1.0 if a is None else a

    @property
    def coefficient(self) -> float | Tensor:
        """1 - a."""
        return 1.0 - self.present_a

    def begin_epoch(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Nothing begins anew."""

    def correct(self, batch: Any, loss_fn: LossFunction) -> None:
        """Recursive momentum; the adaptive a of the next step comes from this one's gradient."""
        squares, present = self.squares, self.gradients().values()
        if self.scale.overflowed(present):
            return
        if self.a is None:
            squares = squares + squared_norm(list(present))
        super().correct(batch, loss_fn)
        if self.a is None:
            self.squares = squares
            rate = self.k / (self.w + squares) ** (1 / 3)
            self.present_a = torch.clamp(self.c * rate**2, max=1.0)

    def diagnostics(self) -> dict[str, float]:
        """The coefficient 1 - a."""
        return {"coefficient": float(self.coefficient)}

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """A second gradient in each step."""
        return Cost(step=3, tensors=2)
