"""What is said, and when; time is a number that the test moves."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from agc.grids.files import GridFile
from agc.grids.grid import Grid
from agc.status.survey import Survey
from agc.status.watch import LIVE, QUIET, Teller, show_live, tell
from tests.conftest import CellMaker
from tests.support.command_line import agc


class Time:
    """A clock that waiting moves on, until ``last``; cells get their record on the way."""

    def __init__(self, last: float, done: dict[float, Path]) -> None:
        self.now, self.last, self.done = 0.0, last, done
        self.waits: list[float] = []

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        for when in [when for when in self.done if when <= self.now]:
            folder = self.done.pop(when)
            folder.mkdir(parents=True)
            (folder / "record.json").touch()
        return self.now >= self.last


@pytest.fixture
def folders(tiny_cell: CellMaker, tmp_path: Path) -> list[Path]:
    return [tmp_path / "cells" / tiny_cell(seed=seed).slug for seed in (0, 1)]


@pytest.fixture
def survey(tiny_cell: CellMaker, tmp_path: Path) -> Survey:
    cells = tuple(tiny_cell(seed=seed) for seed in (0, 1))
    file = GridFile.model_construct(reference=None)
    return Survey([Grid("two", Path("two.yaml"), file, cells)], tmp_path)


def starts(lines: list[str]) -> list[str]:
    return [line.split(" cells")[0] for line in lines]


def test_a_line_an_interval_until_all_is_done(survey: Survey, folders: list[Path]) -> None:
    lines: list[str] = []
    time = Time(1e9, {QUIET: folders[0], 3 * QUIET: folders[1]})
    status = tell(survey, lines.append, QUIET, time.wait, time.clock)
    assert starts(lines) == ["two: 0 of 2", "two: 1 of 2", "two: 1 of 2", "two: 2 of 2"]
    assert time.waits == [QUIET] * 3
    assert status.complete


def test_who_stops_gets_a_last_line(survey: Survey, folders: list[Path]) -> None:
    lines: list[str] = []
    time = Time(QUIET, {QUIET: folders[0]})
    tell(survey, lines.append, QUIET, time.wait, time.clock)
    assert starts(lines) == ["two: 0 of 2", "two: 1 of 2"]


def test_the_same_is_said_again_after_a_minute_only(survey: Survey) -> None:
    lines: list[str] = []
    time = Time(2 * QUIET + 1, {})
    tell(survey, lines.append, QUIET / 6, time.wait, time.clock)
    assert len(lines) == 3
    assert len(time.waits) == 13


def test_a_bar_on_a_terminal(survey: Survey, folders: list[Path]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    time = Time(1e9, {LIVE: folders[0], 2 * LIVE: folders[1]})
    assert show_live(survey, console, time.wait, time.clock).complete
    assert time.waits == [LIVE] * 2
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "two: 1 of 2 cells done" in shown
    assert "two: 2 of 2 cells done" in shown


def test_a_teller_ends_with_a_last_line(survey: Survey) -> None:
    lines: list[str] = []
    teller = Teller(survey, lines.append, interval=1e6)
    teller.start()
    teller.stop()
    assert starts(lines) == ["two: 0 of 2"]
    Teller(survey, lines.append, interval=1e6).stop()
    assert len(lines) == 1


def test_the_command_without_results(tmp_path: Path) -> None:
    found = agc("status", "digits", "--results", tmp_path / "none")
    assert (found.code, found.err) == (0, "")
    (line,) = found.out.splitlines()
    told = json.loads(agc("status", "digits", "--results", tmp_path / "none", "--json").out)
    assert line.startswith(f"digits: 0 of {told['planned']} cells done, {told['planned']} waiting")
    assert told["counts"]["waiting"] == told["planned"]
    assert "leave out --watch" in agc("status", "digits", "--json", "--watch").message
    assert "unknown grid 'digit'" in agc("status", "digit").message
