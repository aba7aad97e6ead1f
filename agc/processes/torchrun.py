"""What torchrun tells the processes that it starts, by environment variables."""

from __future__ import annotations

import os
from dataclasses import dataclass

from agc.errors import UserError


@dataclass(frozen=True)
class Torchrun:
    """Which process of how many this is.

    Attributes:
        rank: among all.
        local_rank: among those of this machine.
        count: of all; 1 without torchrun.
    """

    rank: int = 0
    local_rank: int = 0
    count: int = 1

    @classmethod
    def here(cls) -> Torchrun:
        """As the environment says."""
        names = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
        if not all(name in os.environ for name in names):
            return cls()
        return cls(*(int(os.environ[name]) for name in names))

    def allow(self, cells: int) -> None:
        """Refuse several cells: after an error in one, processes would be at different cells.

        Raises:
            UserError: there are several processes and several cells.
        """
        if self.count > 1 and cells > 1:
            raise UserError(f"under torchrun, train one cell at a time; got {cells}")
