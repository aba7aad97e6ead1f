"""FracTrain: both policies at once (Fu et al., NeurIPS 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from agc.quantization.dfq import DFQ, Positive
from agc.quantization.shared.plateau import Detector
from agc.quantization.shared.stages import Stages, across_epochs
from agc.registry import QUANTIZATIONS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

FIRST, RISE = 1.5, 0.5
"""Percent of the products' cost that the first stage aims at, and what each further one adds."""


@QUANTIZATIONS.register("fractrain", source="arXiv 2012.13113")
class FracTrain(DFQ):
    """DFQ whose target rises when the training loss has stopped to improve: 1.5, 2, 2.5 and 3 %.

    Args:
        model: see :class:`DFQ`.
        detector: of the end of a stage, as in :class:`~agc.quantization.pfq.PFQ`.
        threshold: of the detector.
        decay: factor on it after each of the first two switches.
        points: of the loss in a training.
        total_steps: of the training.
        options: of :class:`DFQ`; ``target`` is that of the last stage.
    """

    changes_precision: ClassVar[bool] = True
    state = ("stages",)

    def __init__(
        self,
        model: Module,
        *,
        detector: Detector = "published",
        threshold: Positive = 0.05,
        decay: Positive = 0.3,
        points: Annotated[int, Field(ge=1)] = 160,
        total_steps: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        self.stages = Stages(detector, threshold, decay, points, total_steps)
        self.last_target = self.target
        self.aim()

    def aim(self) -> None:
        """Have the target of the present stage."""
        self.target = min(FIRST + RISE * self.stages.stage, self.last_target)

    def begin_epoch(self) -> None:
        """Raise the target if it is time."""
        super().begin_epoch()
        if self.stages.due():
            self.stages.advance()
        self.aim()

    def observe(self, loss: Tensor) -> None:
        """Keep the loss."""
        self.stages.observe(loss)

    def diagnostics(self) -> dict[str, float]:
        """Bits, and what the stage was judged by when the epoch began."""
        return super().diagnostics() | self.stages.diagnostics()

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """What DFQ refuses, and what several stages confuse."""
        return super().refuse(cell, **options) or across_epochs(cell)
