"""The control that asks whether an adaptive coefficient is worth anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from agc.corrections.shared.control_variate import ControlVariate
from agc.registry import CORRECTIONS

if TYPE_CHECKING:
    from torch.nn import Module


@CORRECTIONS.register("constant", source="control for arXiv 2301.03573")
class Constant(ControlVariate):
    """g + c (u - q) with a fixed c: gradient correction (AGC) without anything adaptive.

    Args:
        c: the coefficient; 1 is SVRG.
    """

    off: ClassVar[dict[str, Any] | None] = {"c": 0.0}

    def __init__(self, model: Module, *, c: float = 0.1) -> None:
        super().__init__(model)
        self.c = c

    @property
    def coefficient(self) -> float:
        """The fixed c."""
        return self.c

    def diagnostics(self) -> dict[str, float]:
        """The coefficient."""
        return {"coefficient": self.c}
