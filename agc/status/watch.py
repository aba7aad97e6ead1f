"""Telling again and again where a grid stands, until it is done or nobody wants to know."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agc.status.survey import Status, Survey
from agc.status.words import failures, one_line

LIVE = 1.0
"""Seconds between two looks for a bar."""
TERMINAL = 10.0
"""Seconds between two lines on a terminal, where others write as well."""
QUIET = 60.0
"""Seconds between two lines elsewhere, such as in the log of a job."""
COST = 20
"""A look at very many cells takes its time; what is between two is at least so many times it."""

Wait = Callable[[float], bool]
"""Waits for so many seconds; true if the watching is to end."""


def tell(
    survey: Survey,
    say: Callable[[str], None],
    interval: float,
    wait: Wait,
    clock: Callable[[], float] = time.time,
) -> Status:
    """Say a line every ``interval`` seconds, and one at the end; nothing is said twice but once in
    :data:`QUIET` seconds.

    Args:
        survey: what to look at.
        say: takes a line.
        interval: seconds between two lines.
        wait: see :data:`Wait`.
        clock: seconds since 1970.

    Returns:
        the last status.
    """
    said, when = "", 0.0
    while True:
        begin = clock()
        status = survey.look(begin)
        if (line := one_line(status)) != said or begin - when >= QUIET:
            say(line)
            said, when = line, begin
        if status.complete or wait(max(interval, COST * (clock() - begin))):
            break
    if not status.complete:
        status = survey.look(clock())
        if one_line(status) != said:
            say(one_line(status))
    return status


def show_live(
    survey: Survey, console: Console, wait: Wait, clock: Callable[[], float] = time.time
) -> Status:
    """Draw a bar that is renewed about every second; see :func:`tell` for the rest."""
    with Live(console=console, auto_refresh=False) as live:
        while True:
            begin = clock()
            status = survey.look(begin)
            # The words stand below the bar, so that they may break where a terminal is narrow.
            shown = Table.grid(expand=True)
            shown.add_row(ProgressBar(total=1.0, completed=status.share))
            shown.add_row(Text(one_line(status)))
            live.update(shown, refresh=True)
            if status.complete or wait(max(LIVE, COST * (clock() - begin))):
                break
    for line in failures(status):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return status


class Teller:
    """Says in a thread of its own, from :meth:`start` to :meth:`stop`, where grids stand.

    The thread ends with its process, however that ends.

    Args:
        survey: what to look at.
        say: takes a line.
        interval: seconds between two lines; the first comes after as many.
    """

    def __init__(self, survey: Survey, say: Callable[[str], None], interval: float) -> None:
        self.survey = survey
        self.say = say
        self.interval = interval
        self._ended = Event()
        self._thread = Thread(target=self._run, name="status", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self) -> None:
        """Say a last line and return; nothing is said afterwards."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        if not self._ended.wait(self.interval):
            tell(self.survey, self.say, self.interval, self._ended.wait)
        else:
            self.say(one_line(self.survey.look(time.time())))
