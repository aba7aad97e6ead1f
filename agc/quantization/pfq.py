"""PFQ: progressive fractional quantization (Fu et al., NeurIPS 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from agc.quantization.shared.formats import Bits, Formats
from agc.quantization.shared.layerwise import Layerwise
from agc.quantization.shared.plateau import Detector
from agc.quantization.shared.stages import Stages, across_epochs
from agc.registry import QUANTIZATIONS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

Positive = Annotated[float, Field(gt=0)]
FourBits = tuple[Bits, Bits, Bits, Bits]


@QUANTIZATIONS.register("pfq", source="arXiv 2012.13113")
class PFQ(Layerwise):
    """Few bits first, and more of them each time that the training loss has stopped to improve.

    The published rule looks at the loss of every 400th step and switches at once; here points are a
    share of the training, and a stage begins with an epoch, before the correction's full gradient:
    all gradients of an epoch have one precision. Defaults are those of the paper; its code has
    thresholds of 0.15 and 0.4.

    Args:
        model: its layers are converted in place.
        forward: bits of activations and weights in the four stages.
        backward: bits of errors in them.
        detector: ``published``; ``falling`` asks for the trend instead of the scatter;
            ``schedule`` switches after each quarter (:mod:`agc.quantization.shared.plateau`).
        threshold: of the detector.
        decay: factor on it after each of the first two switches.
        points: of the loss in a training.
        total_steps: of the training.
        options: of all policies of this kind (:class:`Layerwise`).
    """

    off: ClassVar[dict[str, Any] | None] = {
        "forward": (32, 32, 32, 32),
        "backward": (32, 32, 32, 32),
    }
    changes_precision: ClassVar[bool] = True
    state = ("stages",)

    def __init__(
        self,
        model: Module,
        *,
        forward: FourBits = (3, 4, 6, 8),
        backward: FourBits = (6, 6, 8, 8),
        detector: Detector = "published",
        threshold: Positive = 0.05,
        decay: Positive = 0.3,
        points: Annotated[int, Field(ge=1)] = 160,
        total_steps: int = 0,
        **options: Any,
    ) -> None:
        self.forward, self.backward = forward, backward
        super().__init__(model, self.of_stage(0), **options)
        self.stages = Stages(detector, threshold, decay, points, total_steps)

    def of_stage(self, stage: int) -> Formats:
        """The formats of a stage."""
        return Formats(self.forward[stage], self.forward[stage], self.backward[stage])

    def begin_epoch(self) -> None:
        """Begin the next stage if it is due."""
        if self.stages.due():
            self.change(self.of_stage(self.stages.advance()))

    def observe(self, loss: Tensor) -> None:
        """Count the step, and keep its loss."""
        super().observe(loss)
        self.stages.observe(loss)

    def diagnostics(self) -> dict[str, float]:
        """Bits, and what the stage was judged by when the epoch began."""
        return super().diagnostics() | self.stages.diagnostics()

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """What compares gradients of several epochs, or trains more than once."""
        return across_epochs(cell)
