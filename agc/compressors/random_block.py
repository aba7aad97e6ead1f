"""A random block of each tensor (Xu and Huang, ICML 2022, PMLR 162:24550-24575)."""

from __future__ import annotations

from collections.abc import Iterable

from agc import rng
from agc.compressors.base import FLOAT, Compressor, Message, Ratio, kept
from agc.lazy import torch
from agc.registry import COMPRESSORS


@COMPRESSORS.register("random-block", source="PMLR 162:24550-24575", bits="32 k")
class RandomBlock(Compressor):
    """k = ``ratio`` n numbers in a row of each tensor, one at least, from a random place on.

    A block goes on at the tensor's beginning. All workers have the same one, so that no place is
    sent, as in the authors' code (anxuthu/DEF).

    Args:
        ratio: share of a tensor's numbers that is sent.
        seed: of the places.
    """

    def __init__(self, *, ratio: Ratio = 1 / 64, seed: int = 0) -> None:
        self.ratio, self.seed = ratio, seed

    def compress(self, message: Message, step: int) -> Message:
        """Zero but in the step's block."""
        found = {}
        for name, numbers in message.items():
            size = len(numbers)
            draw = rng.generator(self.seed, f"compressor/{name}", step=step)
            first = int(torch.randint(max(1, size), (), generator=draw))
            places = torch.arange(kept(self.ratio, size), device=numbers.device)
            places = (places + first) % max(1, size)
            found[name] = torch.zeros_like(numbers).index_copy_(0, places, numbers[places])
        return found

    def bits(self, sizes: Iterable[int]) -> int:
        """The numbers alone."""
        return FLOAT * sum(kept(self.ratio, size) for size in sizes)

    def bits_of_mean(self, sizes: Iterable[int], workers: int) -> int:
        """It is of the same block."""
        return self.bits(sizes)
