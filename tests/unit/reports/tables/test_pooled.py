"""The pooled estimates as they are read: every verdict in its own words, nothing left out."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from agc.grids.files import Margin
from agc.reports.compare import Comparison, compare
from agc.reports.sources import summarize_provenance
from agc.reports.tables.claims import claim_lines
from agc.reports.tables.pooled import pooled_lines, pooled_table
from agc.reports.tables.readme import write_readme
from agc.reports.tables.terminal import print_comparison
from tests.support.records import collected, entry, write_cell, write_grid


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, pd.DataFrame]:
    root = tmp_path_factory.mktemp("grid")
    records, epochs = collected(write_grid(root / "cells"), root)
    return compare(records, epochs, Margin(accuracy=0.25)), records


def test_a_line_says_what_it_is_of_and_the_verdict(
    grid: tuple[Comparison, pd.DataFrame],
) -> None:
    found = grid[0].pooled
    lines = pooled_lines(found)
    assert len(lines) == len(found)
    for line, row in zip(lines, found.itertuples(), strict=True):
        head = f"{row.measure}, {row.dataset}, {row.objective}, {row.correction}, at equal epochs"
        assert line == f"{head}, {row.rows} rows ({row.pairs} pairs): {row.sentence}"


def test_what_all_tasks_share_goes_without_saying(tmp_path: Path) -> None:
    folders = [write_cell(tmp_path), write_cell(tmp_path, correction=entry("agc"))]
    found = compare(*collected(folders, tmp_path / "out")).pooled
    (line,) = pooled_lines(found)
    assert line.startswith("accuracy, standard, agc, at equal epochs, 1 row (1 pair): no interval")
    table = pooled_table(found)
    assert table.header[:2] == ["objective", "correction"]
    (cells,) = table.rows
    assert cells[5].count("[") == 0, "no interval is shown where there is none"
    assert "–" in cells


def test_the_table_has_every_estimate(grid: tuple[Comparison, pd.DataFrame]) -> None:
    found = grid[0].pooled
    table = pooled_table(found)
    assert table.header[:2] == ["dataset", "objective"]
    assert all(len(cells) == len(table.header) for cells in table.rows)
    for cells, row in zip(table.rows, found.itertuples(), strict=True):
        shown = dict(zip(table.header, cells, strict=True))
        assert shown["verdict"] == row.verdict
        interval = "" if np.isnan(row.low) else f" [{row.low:+.2f}, {row.high:+.2f}]"
        assert shown["difference"] == f"{row.mean:+.2f}{interval}"
        assert shown["margin"] == ("±0.25" if row.measure == "accuracy" else "±1")
        assert shown["rows (pairs)"] == f"{row.rows} ({row.pairs})"


def test_they_come_before_the_claims_and_the_rows(
    tmp_path: Path, grid: tuple[Comparison, pd.DataFrame]
) -> None:
    comparison, records = grid
    out = io.StringIO()
    print_comparison(comparison, Console(file=out, width=400))
    lines = out.getvalue().splitlines()
    places = [lines.index(line) for line in pooled_lines(comparison.pooled)]
    assert places == list(range(places[0], places[0] + len(places)))
    assert lines[places[-1] + 1 :] == claim_lines(comparison.claims)

    page = write_readme(comparison, tmp_path, summarize_provenance(records), "grid").read_text()
    assert page.index("| detectable |") < page.index("| units per epoch |")
    empty = replace(comparison, pooled=comparison.pooled.iloc[:0])
    page = write_readme(empty, tmp_path, summarize_provenance(records), "grid").read_text()
    assert "detectable" not in page
