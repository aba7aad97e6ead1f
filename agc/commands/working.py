"""How far a command is that takes its time: a bar on a terminal, elsewhere a line a minute.

Commands of less than two seconds show nothing. Of cells that are trained or attacked, see
:mod:`agc.commands.progress`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from agc.status.watch import QUIET
from agc.status.words import duration

SHORT = 2.0
"""Seconds of a command that needs no bar."""

Tell = Callable[[int, int, str], None]
"""Takes what is done, how much there is to do (0: nobody knows) and what is being done."""


class Working:
    """A context in which a command tells how far it is; the variable is a :data:`Tell`.

    Args:
        unit: what is counted, as ``runs``.
        console: where to; standard error by default, so that it mixes with no output.
        short: seconds until anything is shown.
        interval: seconds between two lines where there is no terminal.
        text: what is being done, until the command says so itself.
        clock: seconds, from anywhere.
    """

    def __init__(
        self,
        unit: str,
        console: Console | None = None,
        short: float = SHORT,
        interval: float = QUIET,
        text: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.unit = unit
        self.console = console or Console(stderr=True, soft_wrap=True)
        self.first = short if self.console.is_terminal else interval
        self.interval = interval
        self.clock = clock
        self.done, self.total, self.text = 0, 0, text
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self.task = self.bar.add_task(text, total=None)
        self._ended = Event()
        self._thread = Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Tell:
        self.begin = self.clock()
        self._thread.start()
        return self.tell

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        # One that was never drawn would end with an empty line.
        if self.bar.live.is_started:
            self.bar.stop()

    def tell(self, done: int, total: int, text: str) -> None:
        """Say how far it is; nothing is drawn by that."""
        self.done, self.total, self.text = done, total, text
        self.bar.update(self.task, completed=done, total=total or None, description=text)

    def line(self) -> str:
        """What a log gets."""
        used = self.clock() - self.begin
        counted = f"{self.done} of {self.total} {self.unit}, " if self.total else ""
        left = ""
        if self.total and self.done:
            left = f", about {duration(used * (self.total - self.done) / self.done)} left"
        return f"{self.text or 'at work'}: {counted}{duration(used)} used{left}"

    def _run(self) -> None:
        if self._ended.wait(self.first):
            return
        if self.console.is_terminal:
            self.bar.start()
            return
        while True:
            self.console.print(self.line(), highlight=False, markup=False)
            if self._ended.wait(self.interval):
                return
