"""The pages of a grid and of a study in a browser: they sort, filter and read out, on phones and
paper, too.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.services.browser import Browser
from tests.support.grid_pages import write_made_up_page
from tests.support.study_pages import write_made_up_study

PAGES = {"grid": ("cells", "last"), "study": ("answers", "by the rule")}
"""Of each page a section whose table is sorted, and a column of that."""
ROWS = "[...document.querySelectorAll('#SECTION tbody tr')]"
SHOWN = f"{ROWS}.filter(row => !row.hidden).map(row => row.cells[INDEX].textContent.trim())"
HEADING = (
    "[...document.querySelectorAll('#SECTION th button')].find(b => b.textContent == 'COLUMN')"
)
PANEL = "document.querySelector('figure.curve > svg')"
TOLD = "JSON.parse(document.querySelector('figure.curve script').textContent)"
READ = "document.querySelector('figure.curve output').textContent"
PHONE, SHEET = 390, 720
"""Widths in CSS pixels: of a phone, and of what A4 and US letter have between their margins."""
NAMED = {"button", "link", "image", "img", "table", "searchbox", "region", "navigation"}
LEVELS = "[...document.querySelectorAll('h1, h2, h3, h4')].map(h => Number(h.tagName[1]))"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Address of each page."""
    grid, _ = write_made_up_page(tmp_path_factory.mktemp("grid"))
    study = tmp_path_factory.mktemp("stages") / "study"
    study.mkdir()
    write_made_up_study(study)
    return {"grid": grid.as_uri(), "study": (study / "report.html").as_uri()}


@pytest.fixture(params=PAGES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def shown(name: str, pages: dict[str, str], browser: Browser) -> Browser:
    browser.resize(1300, 900)
    browser.show(pages[name])
    assert browser.until("document.readyState", lambda state: state == "complete") == "complete"
    return browser


@pytest.fixture
def sorted_by(name: str) -> dict[str, str]:
    section, column = PAGES[name]
    return {"section": section, "column": column}


def cells_of(browser: Browser, section: str, column: str) -> list[str]:
    """What is in a column, top to bottom, of the rows that are shown."""
    index = browser.value(f"{heading(section, column)}.closest('th').cellIndex")
    return browser.value(SHOWN.replace("SECTION", section).replace("INDEX", str(index)))


def heading(section: str, column: str) -> str:
    return HEADING.replace("SECTION", section).replace("COLUMN", column)


def order(browser: Browser, section: str, column: str) -> str:
    """What a screen reader is told of a column's order."""
    return browser.value(f"{heading(section, column)}.closest('th').ariaSort")


def test_a_column_sorts_up_and_down_by_a_click_and_by_the_keyboard(
    shown: Browser, name: str, sorted_by: dict[str, str]
) -> None:
    key = float if name == "grid" else str
    shown.value(f"{heading(**sorted_by)}.click()")
    assert order(shown, **sorted_by) == "ascending"
    up = cells_of(shown, **sorted_by)
    shown.value(f"{heading(**sorted_by)}.focus()")
    shown.press("Enter", "\r")
    assert order(shown, **sorted_by) == "descending"
    down = cells_of(shown, **sorted_by)
    assert len(set(up)) > 1
    assert sorted(up) == sorted(down)
    # Equal ones keep their order; the two ends tell.
    values = [cell for cell in up if cell != "–"]
    assert values == sorted(values, key=key)
    assert [cell for cell in down if cell != "–"] == sorted(values, key=key, reverse=True)


@pytest.mark.parametrize("name", ["grid"])
def test_what_has_no_value_stays_below_and_words_sort_as_words(shown: Browser) -> None:
    for direction in ("ascending", "descending"):
        shown.value(f"{heading('cells', 'last')}.click()")
        assert order(shown, "cells", "last") == direction
        assert cells_of(shown, "cells", "last")[-1] == "–"
    shown.value(f"{heading('cells', 'method')}.click()")
    methods = cells_of(shown, "cells", "method")
    assert methods == sorted(methods)


@pytest.mark.parametrize(
    ("name", "words", "column", "left"),
    [
        ("grid", "set placebo", "correction", ["placebo"] * 3),
        ("study", "fewer epochs", "key", ["H2"]),
    ],
)
def test_a_filter_leaves_the_rows_that_have_all_words(
    shown: Browser, sorted_by: dict[str, str], words: str, column: str, left: list[str]
) -> None:
    section = sorted_by["section"]
    every = len(cells_of(shown, section, column))
    shown.type_into(f"document.querySelector('#{section} .filter input')", words)
    assert cells_of(shown, section, column) == left
    count = shown.value(f"document.querySelector('#{section} .filter output').textContent")
    assert count == f"{len(left)} of {every}"


def test_an_epoch_is_read_out_under_the_pointer_and_by_the_keys(shown: Browser) -> None:
    last = shown.value(f"{TOLD}.last")
    lines = shown.value(f"{TOLD}.lines.map(line => line.name)")
    assert len(lines) > 1
    shown.point_at(PANEL, 0.99)
    read = shown.value(READ)
    assert read.startswith(f"Epoch {last}: ")
    assert all(f"{line} " in read for line in lines)
    shown.value(f"{PANEL}.focus()")
    shown.press("ArrowLeft")
    assert shown.value(READ).startswith(f"Epoch {last - 1}: ")


def test_nothing_is_asked_of_the_network(shown: Browser) -> None:
    asked = "performance.getEntriesByType('resource').map(one => one.name)"
    # Pictures are in the page itself.
    assert [one for one in shown.value(asked) if not one.startswith("data:")] == []


def test_a_phone_needs_no_sideways_scroll(shown: Browser, tmp_path: Path) -> None:
    shown.resize(PHONE, 844)
    assert shown.value("document.documentElement.scrollWidth") <= PHONE
    # A wide table scrolls in a region of its own, which the keyboard reaches.
    assert shown.value("[...document.querySelectorAll('.wide')].every(w => w.tabIndex === 0)")
    shown.screenshot(tmp_path / "phone.png")


def test_paper_gets_what_is_folded_whole_and_no_controls(shown: Browser, tmp_path: Path) -> None:
    (tmp_path / "page.pdf").write_bytes(shown.printed())
    assert (tmp_path / "page.pdf").stat().st_size > 10_000
    shown.value("window.dispatchEvent(new Event('beforeprint'))")
    assert shown.value("document.querySelectorAll('details:not([open])').length") == 0
    with shown.on_paper(SHEET):
        gone = "[...document.querySelectorAll('nav, .filter')].every(e => !e.checkVisibility())"
        assert shown.value(gone)
        # A browser shrinks a sheet to half at most; what is wider than two sheets would be cut off.
        assert shown.value("document.documentElement.scrollWidth") <= 2 * SHEET
    shown.value("window.dispatchEvent(new Event('afterprint'))")
    assert shown.value("document.querySelectorAll('details[open]').length") == 0


def test_a_screen_reader_finds_names_and_an_order_of_headings(shown: Browser) -> None:
    assert shown.unnamed(NAMED) == []
    levels = shown.value(LEVELS)
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert shown.value("document.documentElement.lang") == "en"
    heads = "[...document.querySelectorAll('thead th')].every(h => h.scope === 'col')"
    assert shown.value(heads)
    assert shown.value("[...document.querySelectorAll('tbody th')].every(h => h.scope === 'row')")
    # The keyboard's first stop leads past the list of contents.
    shown.value("document.activeElement.blur()")
    shown.press("Tab")
    first = "'#' + document.querySelector('main section').id"
    assert shown.value(f"document.activeElement.getAttribute('href') === {first}")
