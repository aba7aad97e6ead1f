"""Random numbers of each tensor (Stich, Cordonnier and Jaggi, arXiv 1809.07599)."""

from __future__ import annotations

from collections.abc import Iterable

from agc import rng
from agc.compressors.base import FLOAT, Compressor, Message, Ratio, kept
from agc.lazy import torch
from agc.registry import COMPRESSORS


@COMPRESSORS.register("random-k", source="arXiv 1809.07599", bits="32 k")
class RandomK(Compressor):
    """k = ``ratio`` n numbers of each tensor, one at least, at places drawn anew in each step.

    All workers draw the same places from the seed, so that no place is sent and the mean of their
    messages is as short as one of them. Nothing is scaled up: error feedback takes care of the
    rest.

    Args:
        ratio: share of a tensor's numbers that is sent.
        seed: of the places.
    """

    def __init__(self, *, ratio: Ratio = 0.1, seed: int = 0) -> None:
        self.ratio, self.seed = ratio, seed

    def compress(self, message: Message, step: int) -> Message:
        """Zero but at the step's places."""
        found = {}
        for name, numbers in message.items():
            draw = rng.generator(self.seed, f"compressor/{name}", step=step)
            order = torch.randperm(len(numbers), generator=draw)
            places = order[: kept(self.ratio, len(numbers))].to(numbers.device)
            found[name] = torch.zeros_like(numbers).index_copy_(0, places, numbers[places])
        return found

    def bits(self, sizes: Iterable[int]) -> int:
        """The numbers alone."""
        return FLOAT * sum(kept(self.ratio, size) for size in sizes)

    def bits_of_mean(self, sizes: Iterable[int], workers: int) -> int:
        """It has the same places."""
        return self.bits(sizes)
