"""Where weights are active, as indices into flattened tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def active_places(tensors: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """By name of a tensor, the places in it, flattened, that are active, [A] each, in their order.

    The host waits for a device once, however many masks there are.

    Args:
        tensors: on one device.
        masks: by the same names; all places of a tensor without one are active.
    """
    masked = {name: masks[name].reshape(-1) for name in tensors if name in masks}
    counts = torch.stack([mask.sum() for mask in masked.values()]).tolist() if masked else []
    # As nonzero() gives them, which would wait for each mask.
    found = {
        name: mask.to(torch.uint8).argsort(descending=True, stable=True)[:count]
        for (name, mask), count in zip(masked.items(), counts, strict=True)
    }
    return {
        name: found[name] if name in found else torch.arange(tensor.numel(), device=tensor.device)
        for name, tensor in tensors.items()
    }
