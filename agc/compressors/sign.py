"""The sign of each number, and one scale (Karimireddy et al., ICML 2019, arXiv 1901.09847)."""

from __future__ import annotations

from collections.abc import Iterable

from agc.compressors.base import FLOAT, Compressor, Message
from agc.lazy import torch
from agc.registry import COMPRESSORS


@COMPRESSORS.register("sign", source="arXiv 1901.09847", bits="n + 32")
class Sign(Compressor):
    """Sign times the mean magnitude over all tensors together, as in the code of SAEF.

    The L1 norm is kept. A bit has no third value, so 0 counts as positive; that code sends 0 there.
    """

    def compress(self, message: Message, step: int) -> Message:
        """± the mean magnitude."""
        total = sum(numbers.numel() for numbers in message.values())
        if not total:
            return super().compress(message, step)
        scale = torch.stack([numbers.abs().sum() for numbers in message.values()]).sum() / total
        return {n: torch.where(numbers < 0, -scale, scale) for n, numbers in message.items()}

    def bits(self, sizes: Iterable[int]) -> int:
        """A bit a number, and the scale."""
        return sum(sizes) + FLOAT
