"""Stages of precision, which begin with epochs, and what says when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from agc.lazy import torch
from agc.processes.extremes import mean_of_all
from agc.quantization.shared.plateau import DETECTORS, STAGES, Detector
from agc.registry import CORRECTIONS, METHODS
from agc.state import Stateful

if TYPE_CHECKING:
    from torch import Tensor


class Stages(Stateful):
    """Counts stages 0 to 3 by the training loss.

    Losses stay on the device within an epoch. Between epochs they are put together into points, of
    which a training has a fixed number, each the mean loss of its steps; the detector is asked for
    each. One stage begins with an epoch at most.

    Args:
        detector: which one.
        threshold: of the detector, as is ``decay``.
        decay: the same.
        points: of a training; FracTrain has 160, one every 400 of 64,000 steps.
        total_steps: of the training.
    """

    state: ClassVar[tuple[str, ...]] = ("stage", "seen", "pending", "losses", "detector")

    def __init__(
        self, detector: Detector, threshold: float, decay: float, points: int, total_steps: int
    ) -> None:
        self.detector = DETECTORS[detector](threshold, decay)
        self.points = points
        self.total_steps = total_steps
        self.stage = 0
        self.seen = 0
        """Steps that have been put into points, or wait for theirs to be full."""
        self.pending: list[float] = []
        """Losses of the point that is not full."""
        self.losses: list[Tensor] = []
        """Of the steps since the last epoch began."""

    def observe(self, loss: Tensor) -> None:
        """The loss of a step."""
        if self.stage < STAGES - 1:
            self.losses.append(loss.detach())

    def due(self) -> bool:
        """An epoch begins: whether a new stage is to begin with it. :meth:`advance` does it."""
        fired = False
        self.detector.forget()
        for loss in self._fresh():
            self.pending.append(loss)
            self.seen += 1
            if self.seen * self.points // self.total_steps == self._before():
                continue
            point, self.pending = sum(self.pending) / len(self.pending), []
            # Points of a stage that is over tell nothing of the next one.
            fired = fired or self.detector.fires(point, self.seen / self.total_steps)
        return fired

    def advance(self) -> int:
        """Begin the next stage; its number."""
        self.stage += 1
        self.detector.next_stage()
        return self.stage

    def diagnostics(self) -> dict[str, float]:
        """What the detector saw of the epoch before, if it was asked."""
        return self.detector.told

    def _before(self) -> int:
        return (self.seen - 1) * self.points // self.total_steps

    def _fresh(self) -> list[float]:
        """Losses of the steps since the last epoch began, the mean over all processes."""
        if not self.losses:
            return []
        together = mean_of_all(torch.stack(self.losses).double())
        self.losses = []
        return together.tolist()


def across_epochs(cell: Any) -> str | None:
    """Why a precision that changes with the epochs makes no sense in ``cell``, or None."""
    correction, method = cell.correction.name, cell.method.name
    if CORRECTIONS[correction].target.spans_epochs:
        return (
            f"correction {correction!r} compares gradients of one epoch with those of another, and "
            "its precision changes between epochs"
        )
    if METHODS[method].target.several_rounds:
        return f"method {method!r} trains several times, and its precision rises once"
    return None
