"""The largest numbers of each tensor (Stich, Cordonnier and Jaggi, arXiv 1809.07599)."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, log2

from agc.compressors.base import FLOAT, Compressor, Message, Ratio, kept
from agc.lazy import torch
from agc.registry import COMPRESSORS


@COMPRESSORS.register("top-k", source="arXiv 1809.07599", bits="k (32 + ⌈log₂ n⌉) a tensor")
class TopK(Compressor):
    """The k = ``ratio`` n numbers of each tensor with the largest magnitude, one at least.

    Args:
        ratio: share of a tensor's numbers that is sent, each with its place.
    """

    def __init__(self, *, ratio: Ratio = 0.1) -> None:
        self.ratio = ratio

    def compress(self, message: Message, step: int) -> Message:
        """Zero but for the largest."""
        found = {}
        for name, numbers in message.items():
            places = numbers.abs().topk(kept(self.ratio, len(numbers)), sorted=False).indices
            found[name] = torch.zeros_like(numbers).index_copy_(0, places, numbers[places])
        return found

    def bits(self, sizes: Iterable[int]) -> int:
        """A number and its place for each that is sent."""
        return sum(kept(self.ratio, size) * _bits_of_one(size) for size in sizes if size)

    def bits_of_mean(self, sizes: Iterable[int], workers: int) -> int:
        """Of each tensor all numbers, or the places that any worker sent, if that is shorter."""
        return sum(
            min(FLOAT * size, workers * kept(self.ratio, size) * _bits_of_one(size))
            for size in sizes
            if size
        )


def _bits_of_one(size: int) -> int:
    """A number and its place among ``size``."""
    return FLOAT + ceil(log2(size))
