"""The precision of a network's passes, by its name in a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def autocast(images: Tensor, precision: str) -> torch.autocast:
    """What a forward pass of ``images`` runs under, on their device; ``float32`` changes nothing.

    Args:
        images: of the pass; they stay as they are.
        precision: ``bfloat16`` casts the operations that gain by it, over float32 weights.
    """
    return torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bfloat16")
