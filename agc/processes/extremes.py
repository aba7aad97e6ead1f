"""Extremes and means over the processes that train one model together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.lazy import torch
from agc.processes.share import Share

if TYPE_CHECKING:
    from torch import Tensor


def extremes_of_all(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The least of all processes' ``low`` and the greatest of their ``high``; scalars."""
    if Share.here().count == 1:
        return low, high
    both = torch.stack([-low, high])
    torch.distributed.all_reduce(both, op=torch.distributed.ReduceOp.MAX)
    return -both[0], both[1]


def mean_of_all(values: Tensor) -> Tensor:
    """Mean of each number over the processes."""
    count = Share.here().count
    if count == 1:
        return values
    total = values.clone()
    torch.distributed.all_reduce(total)
    return total / count
