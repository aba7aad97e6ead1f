"""Progress of a process that works through cells: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from agc.grids.cell import Cell
from agc.status.watch import QUIET


class Progress:
    """Shows which cell is being worked on, and how far all of them are.

    Args:
        cells: all cells of the process.
        by_epoch: whether the bar counts epochs, else cells.
        hidden: whether nothing is shown at all.
    """

    def __init__(self, cells: list[Cell], by_epoch: bool = True, hidden: bool = False) -> None:
        self.console = Console(stderr=True, quiet=hidden)
        self.by_epoch = by_epoch
        self.count = len(cells)
        self.done = 0
        self.epochs = 0
        self.said = time.monotonic()
        total = sum(cell.training.epochs for cell in cells) if by_epoch else len(cells)
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs" if by_epoch else "cells"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task("", total=total)

    def __enter__(self) -> Progress:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def epoch(self, row: dict[str, Any]) -> None:
        """An epoch has ended."""
        text = f"epoch {row['epoch']}: validation {100 * row['validation_accuracy']:.2f} %"
        self.bar.update(self.task, advance=1, description=text)
        self.epochs += 1
        self._say(f"{self.done + 1}/{self.count} {text}")

    def text(self, line: str) -> None:
        """Say what is being done; nothing of it is left on the screen."""
        self.bar.update(self.task, description=line)
        self._say(f"{self.done + 1}/{self.count} {line}")

    def _say(self, line: str) -> None:
        """A line a minute where there is no bar."""
        now = time.monotonic()
        if not self.console.is_terminal and now - self.said >= QUIET:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)
            self.said = now

    def cell(self, cell: Cell, outcome: str) -> None:
        """A cell has come to its end."""
        self.done += 1
        missing = cell.training.epochs - self.epochs if self.by_epoch else 1
        self.bar.update(self.task, advance=max(0, missing))
        self.epochs = 0
        line = f"{self.done}/{self.count} {cell.slug}: {outcome}"
        self.console.print(line, highlight=False, soft_wrap=True)
