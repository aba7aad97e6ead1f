"""When a precision has done its work: three ways to tell from the training loss.

Each takes the loss point by point and says when the next stage of precision is due. All of them are
the same for a loss and for a multiple of it.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from agc.state import Stateful

FIRST = 10
"""Points whose mean is the scale of the loss."""

WINDOW = 5
"""Points of a stage that are looked at."""

STAGES = 4

Detector = Literal["published", "falling", "schedule"]


class Published(Stateful):
    """Fires when the last five points of a stage are all alike (FracTrain, arXiv 2012.13113,
    section 3.1 and its code): none is further from the newest one than ``threshold``, in units of
    the mean of the training's first ten points. Each of the first two stages multiplies the
    threshold by ``decay``.

    Noise keeps it from firing: a loss that has stopped falling at a height where it scatters by
    more than the threshold is never flat.

    Attributes:
        told: of the points since :meth:`forget`, the least that five in a row scattered and fell
            by, in the same units, and the threshold.
    """

    asks: ClassVar[str] = "loss_scatter"
    """Which number of :attr:`told` the threshold is on."""

    state: ClassVar[tuple[str, ...]] = ("first", "window", "threshold", "stage", "told")

    def __init__(self, threshold: float, decay: float) -> None:
        self.threshold = threshold
        self.decay = decay
        self.first: list[float] = []
        self.window: list[float] = []
        self.stage = 0
        self.told: dict[str, float] = {}

    def forget(self) -> None:
        """Tell nothing of the points until now; what is decided does not change."""
        self.told = {}

    def fires(self, loss: float, share: float) -> bool:
        """Take a point in; whether the next stage is due.

        Args:
            loss: mean training loss of the steps of this point.
            share: of the training that is done.
        """
        self.first = [*self.first, loss][:FIRST]
        self.window = [*self.window, loss][-WINDOW:]
        if len(self.window) < WINDOW:
            return False
        scale = sum(self.first) / len(self.first)
        found = {"loss_scatter": self.scatter() / scale, "loss_fall": self.fall() / scale}
        self.told = {key: min(value, self.told.get(key, value)) for key, value in found.items()}
        self.told["loss_threshold"] = self.threshold
        return found[self.asks] <= self.threshold

    def scatter(self) -> float:
        """How far the loss was from its last value, at most, in the window."""
        return max(abs(loss - self.window[-1]) for loss in self.window)

    def fall(self) -> float:
        """The fall of the line of least squares from the first to the last point of the window."""
        middle = (WINDOW - 1) / 2
        places = [place - middle for place in range(WINDOW)]
        products = sum(place * loss for place, loss in zip(places, self.window, strict=True))
        return -products / sum(place**2 for place in places) * (WINDOW - 1)

    def next_stage(self) -> None:
        """The next stage begins."""
        self.stage += 1
        self.window = []
        if self.stage < STAGES - 1:
            self.threshold *= self.decay


class Falling(Published):
    """Fires when the loss has stopped falling over the last five points of a stage: the fall of the
    straight line through them is at most the threshold. Ours.

    Scatter, and a loss that rises or jumps, do not keep it from firing, since the published rule's
    absolute value of single differences is replaced by the sign of a trend.
    """

    asks = "loss_fall"


class Schedule(Published):
    """Fires after a quarter, a half and three quarters of the training, whatever the loss. It is
    the control that shows what detection is good for. Ours.
    """

    def fires(self, loss: float, share: float) -> bool:
        """Whether the next stage's share of the training is reached."""
        return share >= (self.stage + 1) / STAGES


DETECTORS: dict[str, type[Published]] = {
    "published": Published,
    "falling": Falling,
    "schedule": Schedule,
}
