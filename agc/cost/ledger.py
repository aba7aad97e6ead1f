"""Training FLOPs: what the meter counted, weighted with the densities of the moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from agc.cost.flops import LayerFlops
from agc.cost.meter import Meter


class Densities(Protocol):
    """What a ledger asks of a sparse-training method."""

    steps: int
    dense_gradients: int
    """Number of steps whose gradient was needed at pruned weights too."""

    def active(self) -> Mapping[str, int]:
        """Number of active weights by layer."""

    def gradient_active(self) -> Mapping[str, int]:
        """Number of weights by layer whose gradient every step needs."""


class Ledger:
    """Training FLOPs, after RigL (arXiv 1911.11134, appendix H), as densities come and go.

    A forward pass costs f, a backward pass to the input f, one to the weights g, where f and g
    weight each layer by the share of its weights that are active, or whose gradient is needed. A
    gradient that is needed at every weight costs the dense g.

    Args:
        flops: of the network.
        meter: what to settle.
        method: its densities count until the next settlement.
        batch_size: images of a step.
    """

    def __init__(self, flops: LayerFlops, meter: Meter, method: Densities, batch_size: int) -> None:
        self.flops = flops
        self.meter = meter
        self.batch_size = batch_size
        self.total = 0.0
        self.updates = 0
        self.settled = (0, 0, 0)
        self.densities = self._densities(method)

    def settle(self, method: Densities) -> None:
        """The topology has changed: what came before costs what the densities before it cost."""
        self.total = self.so_far(method)
        self.settled = self._counts(method)
        self.densities = self._densities(method)
        self.updates += method.steps > 0

    def so_far(self, method: Densities) -> float:
        """Training FLOPs up to now."""
        now = self._counts(method)
        forward, backward, dense = (a - b for a, b in zip(now, self.settled, strict=True))
        f, g = self.densities
        new = forward * f + backward * g + dense * (self.flops.forward() - g)
        return self.total + new

    def _counts(self, method: Densities) -> tuple[int, int, int]:
        meter = self.meter
        to_inputs = meter.forwards + meter.input_backwards + meter.backward
        return to_inputs, meter.backward, method.dense_gradients * self.batch_size

    def _densities(self, method: Densities) -> tuple[float, float]:
        sparse = self.flops.forward(method.active())
        return sparse, self.flops.forward(method.gradient_active())

    def state_dict(self) -> dict[str, Any]:
        """What was settled."""
        keys = ("total", "updates", "settled", "densities")
        return {key: getattr(self, key) for key in keys}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self.total, self.updates = state["total"], state["updates"]
        self.settled, self.densities = tuple(state["settled"]), tuple(state["densities"])
