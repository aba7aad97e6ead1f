"""Units: what one batch costs in forward passes, as entries of the axes declare it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Passes:
    """Passes over one batch: forward, backward to the input alone, backward to the weights.

    Half a pass is one over half of the batch.
    """

    forward: float = 0
    input_backward: float = 0
    backward: float = 0

    @property
    def units(self) -> float:
        """Cost in forward passes; by convention any backward pass counts 2."""
        return self.forward + 2 * (self.input_backward + self.backward)


@dataclass(frozen=True)
class Cost:
    """What a correction adds to a plain epoch.

    Attributes:
        step: units per batch within the steps (forward 1, backward 2).
        snapshot: units per batch of passes of its own over the data.
        prepared_pass: how many such passes need prepared (adversarial) batches.
        tensors: parameter-sized tensors that it keeps.
    """

    step: float = 0.0
    snapshot: float = 0.0
    prepared_pass: float = 0.0
    tensors: float = 0.0
