"""FLOPs weighted with the bits of what is multiplied.

A product of numbers of a and b bits costs a b / 32² of one in float32 (FracTrain, arXiv 2012.13113,
section 4.1). A pass forward multiplies activations and weights, one back to the inputs errors and
weights, one back to the weights activations and errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from agc.cost.flops import LayerFlops
from agc.cost.ledger import Densities, Ledger
from agc.cost.meter import Meter
from agc.cost.products import FLOAT_PRODUCTS, Products


class Priced(Protocol):
    """What a ledger asks of a quantization."""

    def products(self) -> Mapping[str, Products]:
        """Mean cost of the products of each quantised weight, since the last :meth:`settled`."""

    def settled(self) -> None:
        """It has been counted."""

    def step_flops(self, active: Mapping[str, int]) -> float:
        """FLOPs of float32 that it adds to a step."""


class BitFlops(NamedTuple):
    """FLOPs of a training, weighted with bits and densities.

    Attributes:
        total: of everything; what is not quantised counts in full.
        published: of quantised layers alone, as FracTrain's code counts them: float layers, and
            what chooses the bits, cost nothing there.
    """

    total: float = 0.0
    published: float = 0.0


class BitLedger(Ledger):
    """Training FLOPs of a quantised network, beside those of before in their bits.

    Args:
        flops: of the network, by prunable weight.
        meter: what to settle.
        method: its densities count until the next settlement.
        batch_size: images of a step.
        layers: FLOPs by weight of all that are prunable or quantised.
        quantization: its bits count until the next settlement.
    """

    def __init__(
        self,
        flops: LayerFlops,
        meter: Meter,
        method: Any,
        batch_size: int,
        layers: LayerFlops,
        quantization: Priced,
    ) -> None:
        self.layers, self.quantization = layers, quantization
        self.bits = BitFlops()
        self.counted = (0, 0, 0, 0, 0)
        self.shares: tuple[dict[str, float], dict[str, float]] = ({}, {})
        self.added = 0.0
        """FLOPs of a step that the quantization adds."""
        super().__init__(flops, meter, method, batch_size)
        self.settle_bits(method)

    def settle(self, method: Densities) -> None:
        """The topology has changed: what came before costs what densities and bits were."""
        super().settle(method)
        self.settle_bits(method)

    def settle_bits(self, method: Densities) -> None:
        """Densities have changed, or bits will: what came before costs what they were."""
        self.bits = self.bits_so_far(method)
        self.counted = self._passes(method)
        self.quantization.settled()
        active, needed = method.active(), method.gradient_active()
        self.shares = self._shares(active), self._shares(needed)
        self.added = self.quantization.step_flops(active)

    def bits_so_far(self, method: Densities) -> BitFlops:
        """Up to now."""
        passes = (a - b for a, b in zip(self._passes(method), self.counted, strict=True))
        forward, attacks, backward, dense, steps = passes
        products = self.quantization.products()
        active, needed = self.shares
        spent = dict.fromkeys(self.layers.layers, 0.0)
        for name, flops in self.layers.layers.items() if active else ():
            cost = products.get(name, FLOAT_PRODUCTS)
            whole = flops * dense * (1 - needed[name])
            spent[name] += (
                flops
                * active[name]
                * (forward * cost.forward + attacks * cost.attack + backward * cost.errors)
            )
            spent[name] += (flops * backward * needed[name] + whole) * cost.gradients
        rest = self.layers.rest * (forward + attacks + 2 * backward) + steps * self.added
        quantised = sum(spent[name] for name in products)
        return BitFlops(
            self.bits.total + sum(spent.values()) + rest, self.bits.published + quantised
        )

    def _shares(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Which part of each weight counts; of one that is not pruned, all."""
        sizes = self.layers.sizes
        return {name: counts.get(name, size) / size for name, size in sizes.items()}

    def _passes(self, method: Densities) -> tuple[int, int, int, int, int]:
        meter, dense = self.meter, method.dense_gradients * self.batch_size
        return meter.forward, meter.input_backward, meter.backward, dense, method.steps

    def state_dict(self) -> dict[str, Any]:
        """What was settled."""
        own = {key: getattr(self, key) for key in ("bits", "counted", "shares", "added")}
        return {**super().state_dict(), "weighted": {k: _plain(v) for k, v in own.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        super().load_state_dict(state)
        own = state["weighted"]
        self.bits, self.counted = BitFlops(*own["bits"]), tuple(own["counted"])
        self.shares, self.added = tuple(own["shares"]), own["added"]


def _plain(value: Any) -> Any:
    """As a checkpoint holds it."""
    return list(value) if isinstance(value, tuple) else value
