"""A command that takes its time says how far it is; a short one shows nothing."""

from __future__ import annotations

import io
import itertools
import time

import pytest
from rich.console import Console

from agc.commands.working import Working


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, soft_wrap=True)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_short_command_shows_nothing(terminal: bool) -> None:
    out = console(terminal)
    with Working("runs", out) as tell:
        tell(1, 2, "one")
    assert out.file.getvalue() == ""


def until(out: Console, text: str) -> str:
    """What was written once it holds a text; the test's own limit ends the waiting."""
    while text not in out.file.getvalue():
        time.sleep(0.01)
    return out.file.getvalue()


def test_elsewhere_than_on_a_terminal_lines_come_again_and_again() -> None:
    out = console(False)
    ticks = itertools.count(0.0, 30.0)
    with Working("runs", out, interval=0.01, clock=lambda: next(ticks)) as tell:
        tell(1, 4, "mirroring")
        until(out, "mirroring: 1 of 4 runs, 0:00:30 used, about 0:01:30 left\n")
        tell(0, 0, "the page")
        shown = until(out, "the page: ")
    assert shown.count("\n") >= 2


def test_a_terminal_gets_a_bar_that_leaves_nothing() -> None:
    out = console(True)
    with Working("runs", out, short=0.01) as tell:
        tell(1, 4, "mirroring")
        assert "1/4" in until(out, "mirroring")
    # The cursor goes up again, and the line is cleared.
    assert out.file.getvalue().endswith("\x1b[2K")


def test_an_error_ends_it() -> None:
    out = console(False)
    working = Working("runs", out, interval=0.01)
    with pytest.raises(RuntimeError), working:
        raise RuntimeError
    assert not working._thread.is_alive()
