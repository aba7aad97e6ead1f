"""The processes that train one cell together, one on each of its devices."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import distributed

from agc.errors import UserError
from agc.processes.share import Share


class Draws(torch.Generator):
    """Draws for the images of all processes, of which each takes its share; see :class:`Ball`.

    Attributes:
        share: of this process.
    """

    share = Share()


class Team:
    """The processes that torch.distributed knows; this one alone, if it knows none.

    As a context it is there while a cell is trained.
    """

    def __enter__(self) -> Team:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes files."""
        return Share.here().rank == 0

    def expect(self, devices: int) -> None:
        """Make sure that there are as many processes as a cell's recipe has devices.

        Raises:
            UserError: there are not.
        """
        count = Share.here().count
        if count != devices:
            raise UserError(f"the cell has training.devices: {devices}, but {count} processes run")

    def any(self, *flags: bool, device: str) -> list[bool]:
        """Whether each flag is up on any of the processes; all of them get to know."""
        if Share.here().count == 1:
            return list(flags)
        up = torch.tensor(flags, dtype=torch.int32, device=device)
        distributed.all_reduce(up, op=distributed.ReduceOp.MAX)
        return [bool(flag) for flag in up.tolist()]

    def gather(self, state: dict[str, Any]) -> list[dict[str, Any]]:
        """The state of each process, in their order; for what is the process's own."""
        count = Share.here().count
        found: list[Any] = [state] * count
        if count > 1:
            distributed.all_gather_object(found, state)
        return found
