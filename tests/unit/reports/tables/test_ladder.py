"""Ladders in the files, on the page and in the terminal of a grid, and nowhere without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from agc.reports.compare import Comparison, compare
from agc.reports.sources import summarize_provenance
from agc.reports.tables.ladder import ladder_lines, ladder_table
from agc.reports.tables.readme import write_readme
from agc.reports.tables.terminal import print_comparison
from agc.reports.tables.write import load_comparison, write_tables
from tests.support.ladders import ladder_grid
from tests.support.records import collected


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, dict[str, Any]]:
    root = tmp_path_factory.mktemp("grid")
    budgets = {"none": (4, 8, 16), "agc": (4, 8)}
    folders = ladder_grid(root / "cells", 0.5, seeds=2, sd=0.002, budgets=budgets)
    tables = collected(folders, root)
    return compare(*tables), summarize_provenance(tables[0])


def test_the_table_has_a_line_for_each_and_prints_its_numbers(grid: Any) -> None:
    ladder = grid[0].ladder
    table = ladder_table(ladder)
    assert len(table.rows) == len(ladder) == 3 * 2 * 2
    assert all(len(row) == len(table.header) for row in table.rows)
    first, line = table.rows[0], ladder.iloc[0]
    assert first[:7] == ["rigl", "95 %", "agc", "test", "epochs", "2", "4 8 16"]
    assert first[8].startswith(f"{line.ratio:.2f} [{line.low:.2f}, ")
    assert "-52.1 %" in table.caption
    assert {row[3] for row in ladder_table(ladder, "test").rows} == {"test"}


def test_lines_say_verdict_and_paper(grid: Any) -> None:
    ladder = grid[0].ladder
    lines = ladder_lines(ladder)
    assert len(lines) == 3 * 2
    assert lines[0] == (
        f"epochs to equal error, rigl 95 %, agc (paper: -52.1 %): {ladder['sentence'][0]}"
    )
    assert lines[-1].startswith("units to equal error, all 2 rows, agc: ")
    assert ladder_lines(pd.DataFrame()) == []


def test_files_and_page_are_there_where_due_and_removed_elsewhere(
    tmp_path: Path, grid: Any
) -> None:
    comparison, provenance = grid
    names = ["ladder.csv", "tables/ladder.md", "tables/ladder.tex"]
    assert {tmp_path / name for name in names} < {*write_tables(comparison, tmp_path, provenance)}
    page = write_readme(comparison, tmp_path, provenance, "grid").read_text()
    assert "`ladder.csv`" in page
    assert "all 2" in page
    loaded = load_comparison(tmp_path)
    pd.testing.assert_frame_equal(
        loaded.ladder, comparison.ladder, check_dtype=False, rtol=1e-8, check_column_type=False
    )
    console = Console(width=120, record=True, file=(tmp_path / "out").open("w"))
    print_comparison(loaded, console)
    assert "epochs to equal error, rigl 95 %, agc" in console.export_text()

    without = Comparison(
        comparison.main, comparison.claims, comparison.pooled, comparison.ladder.iloc[:0]
    )
    write_tables(without, tmp_path, provenance)
    assert not any((tmp_path / name).exists() for name in names)
    assert "ladder" not in write_readme(without, tmp_path, provenance, "grid").read_text()
    assert not len(load_comparison(tmp_path).ladder)
