"""The page of a grid is one file, leads with the answer and has every row, cell and way."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from agc.reports.web.curves import learning_curves
from agc.reports.web.forest import forest
from tests.support.grid_pages import write_made_up_page

VOID = {"meta", "link", "br", "input", "img"}


class Tree(HTMLParser):
    """Elements that are open, and every attribute that leads out of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ways: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        known = dict(attrs)
        self.ways += [known[key] for key in ("src", "href") if known.get(key)]
        self.ids += [known["id"]] if "id" in known else []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, pd.DataFrame]:
    path, records = write_made_up_page(tmp_path_factory.mktemp("page"))
    return path.read_text(encoding="utf-8"), records


def test_every_element_is_closed_and_nothing_is_loaded(made: tuple[str, pd.DataFrame]) -> None:
    tree = Tree()
    tree.feed(made[0])
    assert tree.open == []
    loaded = [way for way in tree.ways if not way.startswith(("#", "cells/", "workflow.html"))]
    assert all(way.startswith("http://127.0.0.1:5000/#/runs/") for way in loaded)
    assert not re.findall(r"<(script|img)[^>]* src=|@import|url\(", made[0])
    assert len(tree.ids) == len(set(tree.ids))
    assert {way[1:] for way in tree.ways if way.startswith("#")} <= set(tree.ids)


def test_the_answer_comes_first_and_names_are_escaped(made: tuple[str, pd.DataFrame]) -> None:
    text = made[0]
    headings = re.findall(r"<h2[^>]*>([^<]*)</h2>", text)
    assert headings[:2] == ["Answer", "Every row"]
    assert "<strong>" in text[: text.index("Every row</h2>")]
    assert "made-up &lt;grid&gt;" in text
    assert "Does &lt;it&gt; help." in text
    assert "<it>" not in text


def test_every_cell_stands_on_the_page_with_its_ways(made: tuple[str, pd.DataFrame]) -> None:
    text, records = made
    for slug in records["slug"]:
        assert f'href="cells/{slug}/"' in text
        assert f'href="http://127.0.0.1:5000/#/runs/{slug}"' in text
    assert text.count("<td>diverged</td>") == 1


def test_panels_hold_the_means_of_the_finished_runs(made: tuple[str, pd.DataFrame]) -> None:
    found = [
        json.loads(data)
        for data in re.findall(r'<script type="application/json">(.*?)</script>', made[0])
    ]
    assert [[line["name"] for line in panel["lines"]] for panel in found] == [
        ["none", "agc", "placebo"]
    ] * 2
    assert all(len(line["mean"]) == 12 for panel in found for line in panel["lines"])
    assert found[0]["lines"][1]["units"] == [10.0 * epoch for epoch in range(1, 13)]


def test_grids_without_pairs_or_runs_have_no_forest_and_no_panel() -> None:
    empty = pd.DataFrame(columns=["pooled", "recipe"])
    assert forest(empty, {}) == ""
    cells = pd.DataFrame(
        {
            **{key: ["x"] for key in ("dataset", "architecture", "objective", "method")},
            **{"recipe": [""], "sparsity": [0.9], "correction": ["none"], "slug": ["lost"]},
        }
    )
    assert learning_curves(cells, {}, {}) == []
