"""The same bits from the first step to the last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from agc.quantization.shared.formats import Bits, Formats
from agc.quantization.shared.layerwise import Layerwise
from agc.registry import QUANTIZATIONS

if TYPE_CHECKING:
    from torch.nn import Module


@QUANTIZATIONS.register("static", source="arXiv 1805.11046")
class StaticBits(Layerwise):
    """Activations and weights in ``forward`` bits, errors in ``backward`` bits.

    It is the baseline of FracTrain (SBM, Banner et al.) with its quantiser: grids over extremes,
    rounding to the nearest point forward and at chance backward.

    Args:
        model: its layers are converted in place.
        forward: bits of activations.
        backward: bits of errors, the gradients at the outputs of layers.
        weights: bits of weights; as many as of activations if null.
        options: of all policies of this kind (:class:`Layerwise`).
    """

    off: ClassVar[dict[str, Any] | None] = {"forward": 32, "backward": 32}

    def __init__(
        self,
        model: Module,
        *,
        forward: Bits = 8,
        backward: Bits = 8,
        weights: Bits | None = None,
        **options: Any,
    ) -> None:
        bits = forward if weights is None else weights
        super().__init__(model, Formats(forward, bits, backward), **options)
