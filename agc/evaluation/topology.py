"""What a topology looks like at an epoch's end, and how far it has moved."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from agc.gradients.lists import stacked
from agc.methods.base import SparseMethod
from agc.sparsity.neurons import neurons

Row = dict[str, Any]


class TopologyWatch:
    """Measures masks epoch by epoch.

    Args:
        method: whose masks; the first epoch is compared with what they are now.
    """

    def __init__(self, method: SparseMethod) -> None:
        self.before = {name: mask.clone() for name, mask in method.masks.items()}
        self.layouts = neurons(method.model, method.parameters)

    def measure(self, method: SparseMethod, epoch: int) -> tuple[Row, list[Row]]:
        """Numbers of the whole network, and of each layer.

        ``mask_distance`` is the Hamming distance to the epoch before as a fraction of the weights.
        ``dead_neurons`` counts outputs of layers without a single active weight.
        """
        numbers, layers = [], []
        for name, mask in method.masks.items():
            alive = self.layouts[name].rows(mask).flatten(1).any(dim=1)
            counted = (mask, method.explored[name], mask ^ self.before[name], ~alive)
            numbers.append(torch.stack([flags.sum() for flags in counted]))
            layers.append(
                {"epoch": epoch, "layer": name, "weights": mask.numel(), "neurons": len(alive)}
            )
            self.before[name] = mask.clone()
        # One wait for the device, for all layers together.
        for row, counts in zip(layers, stacked(numbers).tolist() if numbers else (), strict=True):
            row |= dict(zip(("active", "explored", "changed", "dead_neurons"), counts, strict=True))
        weights = sum(row["weights"] for row in layers)
        changed = sum(row["changed"] for row in layers)
        whole = {
            "mask_distance": changed / weights if weights else 0.0,
            "dead_neurons": sum(row["dead_neurons"] for row in layers),
        }
        return whole, layers

    def state_dict(self) -> dict[str, Tensor]:
        """The masks of the last epoch, as copies."""
        return {name: mask.clone() for name, mask in self.before.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what :meth:`state_dict` gave."""
        with torch.no_grad():
            for name, mask in self.before.items():
                mask.copy_(state[name])
