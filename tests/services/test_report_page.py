"""The page of a grid in a browser: it sorts, filters and reads out, on phones and paper, too."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.services.browser import Browser
from tests.support.grid_pages import CORRECTIONS, write_made_up_page

ROWS = "[...document.querySelectorAll('#cells tbody tr')]"
SHOWN = f"{ROWS}.filter(row => !row.hidden).map(row => row.cells[INDEX].textContent.trim())"
HEADING = "[...document.querySelectorAll('#cells th button')].find(b => b.textContent == NAME)"
PANEL = "document.querySelector('figure.curve > svg')"
READ = "document.querySelector('figure.curve output').textContent"
PHONE = 390
NAMED = {"button", "link", "image", "img", "table", "searchbox", "region", "navigation"}
LEVELS = "[...document.querySelectorAll('h1, h2, h3')].map(h => Number(h.tagName[1]))"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path, _ = write_made_up_page(tmp_path_factory.mktemp("grid"))
    return path.as_uri()


@pytest.fixture
def shown(page: str, browser: Browser) -> Browser:
    browser.resize(1300, 900)
    browser.show(page)
    assert browser.until("document.readyState", lambda state: state == "complete") == "complete"
    return browser


def column(browser: Browser, name: str) -> list[str]:
    index = browser.value(f"{HEADING.replace('NAME', repr(name))}.closest('th').cellIndex")
    return browser.value(SHOWN.replace("INDEX", str(index)))


def click(browser: Browser, name: str) -> str:
    button = HEADING.replace("NAME", repr(name))
    return browser.value(
        f"(() => {{ const b = {button}; b.click(); return b.closest('th').ariaSort; }})()"
    )


def test_a_column_sorts_up_and_down_and_keeps_what_has_no_value_below(shown: Browser) -> None:
    assert click(shown, "last") == "ascending"
    up = column(shown, "last")
    assert up[-1] == "–"
    assert up[:-1] == sorted(up[:-1], key=float)
    assert click(shown, "last") == "descending"
    down = column(shown, "last")
    assert down == [*reversed(up[:-1]), "–"]
    assert click(shown, "method") == "ascending"
    assert column(shown, "method") == sorted(column(shown, "method"))


def test_a_filter_leaves_the_rows_that_have_all_words(shown: Browser) -> None:
    field = "document.querySelector('#cells .filter input')"
    shown.type_into(field, "set placebo")
    assert column(shown, "correction") == ["placebo"] * 3
    assert shown.value("document.querySelector('#cells .filter output').textContent") == "3 of 18"


def test_an_epoch_is_read_out_under_the_pointer_and_by_the_keys(shown: Browser) -> None:
    shown.point_at(PANEL, 0.99)
    last = shown.value(READ)
    assert last.startswith("Epoch 12: ")
    assert all(f"{name} " in last for name in CORRECTIONS)
    shown.value(f"{PANEL}.focus()")
    shown.press("ArrowLeft")
    assert shown.value(READ).startswith("Epoch 11: ")


def test_nothing_is_asked_of_the_network(shown: Browser) -> None:
    assert shown.value("performance.getEntriesByType('resource').map(one => one.name)") == []


def test_a_phone_needs_no_sideways_scroll(shown: Browser, tmp_path: Path) -> None:
    shown.resize(PHONE, 844)
    assert shown.value("document.documentElement.scrollWidth") <= PHONE
    # A wide table scrolls in a region of its own, which the keyboard reaches.
    assert shown.value("[...document.querySelectorAll('.wide')].every(w => w.tabIndex === 0)")
    shown.screenshot(tmp_path / "phone.png")


def test_paper_gets_what_is_folded_and_no_controls(shown: Browser, tmp_path: Path) -> None:
    (tmp_path / "page.pdf").write_bytes(shown.printed())
    assert (tmp_path / "page.pdf").stat().st_size > 10_000
    shown.value("window.dispatchEvent(new Event('beforeprint'))")
    assert shown.value("document.querySelectorAll('details:not([open])').length") == 0
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
    assert shown.value("document.activeElement.getAttribute('href')") == "#answer"
