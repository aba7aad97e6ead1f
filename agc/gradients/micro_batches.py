"""Gradient accumulation: several batches that make one optimizer step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any


@dataclass(frozen=True)
class MicroBatches:
    """The batches of one optimizer step; its loss is the mean of their losses.

    Corrections take it wherever they take a batch, and hold one graph at a time as the user's
    loop does. The batches should be of equal size.

    Attributes:
        batches: what the loss function takes, one after the other.
        index: which step's batches these are, for corrections that need fixed batches; else -1.
    """

    batches: tuple[Any, ...]
    index: int = -1

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class GroupedBatches:
    """A data loader whose batches come ``size`` at a time, as :class:`MicroBatches`.

    Args:
        batches: any iterable; each iteration is a pass. The last group may be smaller.
        size: batches that make one optimizer step.
    """

    def __init__(self, batches: Iterable[Any], size: int) -> None:
        if size < 1:
            raise ValueError(f"size {size} of a group of batches is below 1")
        self.batches = batches
        self.size = size

    def __len__(self) -> int:
        return math.ceil(len(self.batches) / self.size)

    def __iter__(self) -> Iterator[MicroBatches]:
        source = iter(self.batches)
        while group := tuple(islice(source, self.size)):
            yield MicroBatches(group)


class FirstBatches:
    """The first batches of each pass; the pass begins when it is asked for.

    Args:
        batches: any iterable; each iteration is a pass.
        count: how many.
    """

    def __init__(self, batches: Iterable[Any], count: int) -> None:
        self.batches = batches
        self.count = count

    def __iter__(self) -> Iterator[Any]:
        return islice(self.batches, self.count)


def parts(batch: Any) -> tuple[Any, ...]:
    """What the loss function takes of ``batch``, one after the other."""
    return batch.batches if isinstance(batch, MicroBatches) else (batch,)
