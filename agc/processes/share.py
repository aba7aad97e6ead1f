"""Which images of a batch are this process's, where several processes train one model together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Share:
    """Every ``count``-th row of a batch, from row ``rank`` on.

    So the first half of a share is a share of the batch's first half, and what treats halves
    differently does the same with the shares as with the batch.

    Attributes:
        rank: number of the process, from 0.
        count: number of processes; one has the whole batch.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def here(cls) -> Share:
        """The share of this process of torch.distributed; all, if it is alone."""
        distributed = torch.distributed
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    def of(self, rows: Tensor) -> Tensor:
        """The rows of the share."""
        return rows if self.count == 1 else rows[self.rank :: self.count]

    def spread(self, rows: Tensor) -> Tensor:
        """The share in its places in the whole batch, zeros elsewhere."""
        if self.count == 1:
            return rows
        whole = rows.new_zeros((self.count * len(rows), *rows.shape[1:]))
        whole[self.rank :: self.count] = rows
        return whole
