"""A comparison fits its terminal: no number is cut, and what is left out is named."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from agc.reports.compare import Comparison
from agc.reports.tables.formatting import MISSING
from agc.reports.tables.overview import name_row, overview_cells
from agc.reports.tables.terminal import HEADER, WHERE_ROOM, WORDS, print_comparison
from agc.reports.tables.write import load_comparison

REPORTS = Path(__file__).parents[4] / "reports"
STUDIES = sorted(path.parent.name for path in REPORTS.glob("*/comparison.csv"))
"""All that are committed."""


def printed(comparison: Comparison, width: int) -> str:
    out = io.StringIO()
    print_comparison(comparison, Console(file=out, width=width))
    return out.getvalue()


@pytest.fixture(scope="module", params=STUDIES)
def comparison(request: pytest.FixtureRequest) -> Comparison:
    return load_comparison(REPORTS / request.param)


@pytest.mark.parametrize("width", [80, 120, 160])
def test_no_number_is_cut_and_no_line_is_too_long(comparison: Comparison, width: int) -> None:
    text = printed(comparison, width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    first = next((line for line in lines if line.startswith("No room in")), "")
    hidden = {name for name in WHERE_ROOM if name in first}
    assert bool(hidden) == bool(first)
    for row in comparison.main.itertuples():
        cells = dict(zip(HEADER, [*name_row(row), *overview_cells(row)], strict=True))
        numbers = [v for k, v in cells.items() if k not in (*WORDS, *hidden) and v != MISSING]
        # One line of the output has all of a row's numbers.
        assert [line for line in lines if all(number in line for number in numbers)], row


def test_a_wide_terminal_hides_nothing_and_a_narrow_one_says_what(repository: Path) -> None:
    digits = load_comparison(repository / "reports" / "digits")
    assert "No room" not in printed(digits, 160)
    narrow = printed(digits, 80)
    assert "No room in 80 columns for: pairs, epochs to 99 %, units per epoch." in narrow
    assert "98.19 ± 0.88" in narrow
    assert "corrected" not in printed(digits, 72).splitlines()[1]


def test_sentences_divide_no_interval(comparison: Comparison) -> None:
    for line in printed(comparison, 80).splitlines():
        assert line.count("[") == line.count("]"), line
