"""Fast adversarial training."""

from __future__ import annotations

from typing import Any

from agc.cost.units import Passes
from agc.objectives.shared.adversarial import AdversarialObjective
from agc.objectives.shared.options import BatchNorms, Epsilon, Norms, Smoothing, Starts
from agc.registry import OBJECTIVES


@OBJECTIVES.register("fast-at", source="arXiv 2001.03994")
class FastAdversarialTraining(AdversarialObjective):
    """One attack step from a random start (Wong et al.): an attack for the price of one more pass.

    Long trainings of this kind can overfit to the single step all of a sudden: clean accuracy
    rises and robust accuracy against PGD falls to zero.

    Args:
        step_size: 1.25 times the radius, as published.
        batch_norm: ``train``, as published.
    """

    def __init__(
        self,
        *,
        epsilon: Epsilon = 8 / 255,
        step_size: Epsilon = 10 / 255,
        norm: Norms = "linf",
        start: Starts = "uniform",
        batch_norm: BatchNorms = "train",
        label_smoothing: Smoothing = 0.0,
        precision: str = "float32",
    ) -> None:
        super().__init__(
            epsilon=epsilon,
            step_size=step_size,
            steps=1,
            norm=norm,
            start=start,
            batch_norm=batch_norm,
            label_smoothing=label_smoothing,
            precision=precision,
        )

    @classmethod
    def preparation(cls, **options: Any) -> Passes:
        """One step."""
        return Passes(forward=1, input_backward=1)
