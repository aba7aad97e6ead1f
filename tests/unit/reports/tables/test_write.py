"""Tables: what they print, that LaTeX is sound, and that the same numbers give the same bytes."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from agc.errors import UserError
from agc.reports.compare import Comparison, compare
from agc.reports.sources import summarize_provenance
from agc.reports.tables.markup import TextTable, escape_latex, latex, markdown
from agc.reports.tables.terminal import print_comparison
from agc.reports.tables.write import load_comparison, write_tables
from tests.support.records import collected, entry, write_cell, write_grid


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, dict]:
    root = tmp_path_factory.mktemp("grid")
    records, epochs = collected(write_grid(root / "cells"), root)
    return compare(records, epochs), summarize_provenance(records)


def small(root: Path) -> Comparison:
    """One seed each; one correction that never gets there, one that diverges."""
    rise, low = np.linspace(0.3, 0.8, 6), np.linspace(0.2, 0.5, 6)
    folders = [
        write_cell(root, columns={"validation_accuracy": rise, "test_accuracy": rise}),
        write_cell(
            root,
            columns={"validation_accuracy": low, "test_accuracy": low},
            correction=entry("agc", gamma=0.1),
        ),
        write_cell(root, diverged=True, correction=entry("svrg_{x}%")),
    ]
    return compare(*collected(folders, root / "out"))


def table_rows(text: str, title: str) -> list[list[str]]:
    block = text.split(f"### {title}\n")[1].split("###")[0]
    lines = [line for line in block.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_numbers_are_printed_as_announced(tmp_path: Path, grid: tuple[Comparison, dict]) -> None:
    write_tables(*(grid[0], tmp_path, grid[1]))
    text = (tmp_path / "tables" / "accuracy.md").read_text()
    row = grid[0].main.iloc[0]
    printed = table_rows(text, "digits, resnet8, pgd-at: test accuracy")[0]
    mean, sd = 100 * row.plain_final_accuracy_mean, 100 * row.plain_final_accuracy_sd
    assert printed[:4] == ["dense", "–", "agc", f"{mean:.2f} ± {sd:.2f} (3)"]
    low, high = 100 * row.accuracy_difference_low, 100 * row.accuracy_difference_high
    assert printed[5].replace("\\", "") == (
        f"{100 * row.accuracy_difference_mean:+.2f} [{low:+.2f}, {high:+.2f}]"
    )
    assert "sample standard deviation" in text
    assert "95 % t interval" in text
    assert "(2 of 3)" in text
    assert "1 of 3" in (tmp_path / "tables" / "cost.md").read_text()


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    write_tables(small(tmp_path), tmp_path, {})
    accuracy = table_rows(
        (tmp_path / "tables" / "accuracy.md").read_text(),
        "digits, resnet8, standard: test accuracy",
    )
    assert accuracy[0][3:6] == ["80.00 (n=1)", "50.00 (n=1)", "-30.00 (n=1)"]
    assert accuracy[1][4:6] == ["1 of 1 diverged", "–"]
    acceleration = table_rows(
        (tmp_path / "tables" / "acceleration.md").read_text(),
        "digits, resnet8, standard: to 99 % of plain's mean final validation accuracy",
    )
    assert acceleration[0][3:9] == ["79.20", "6", "100 %", "6", "0 %", "+0.00 (n=1)"]
    assert acceleration[1][8] == "diverged"
    claims = (tmp_path / "tables" / "claims.md").read_text()
    assert "PMLR 234:341-378" in claims
    assert "abstract" not in claims
    assert "+5.00 (PMLR" in claims.replace("\\", "")
    assert "-52.1 % (PMLR" in claims.replace("\\", "")
    assert "26 of 26" in claims, "levels that are not reached"


def test_the_same_gain_in_all_seeds_is_neither_an_interval_nor_a_gain(tmp_path: Path) -> None:
    folders = []
    for seed, plain in enumerate((0.5, 0.6, 0.7)):
        for name, gain in (("none", 0.0), ("agc", 0.05)):
            test = {"test_accuracy": np.full(12, plain + gain)}
            folders.append(write_cell(tmp_path, correction=entry(name), seed=seed, columns=test))
    result = compare(*collected(folders, tmp_path / "o"))
    write_tables(result, tmp_path / "out", {})
    title = "digits, resnet8, standard: test accuracy"
    (row,) = table_rows((tmp_path / "out" / "tables" / "accuracy.md").read_text(), title)
    assert "+5.00 (n=3)" in row
    claim = result.claims.set_index("claim").loc["A"]
    assert claim["mean"] == pytest.approx(5)
    assert (claim.up, claim.down, claim.verdict) == (0, 0, "no interval")


def test_a_grid_of_plain_runs_alone_is_written(tmp_path: Path) -> None:
    write_tables(compare(*collected([write_cell(tmp_path)], tmp_path / "o")), tmp_path, {})
    rows = table_rows(
        (tmp_path / "tables" / "accuracy.md").read_text(),
        "digits, resnet8, standard: test accuracy",
    )
    assert rows[0][2] == "–"
    assert "Nothing to compare" in (tmp_path / "tables" / "claims.md").read_text()


def test_every_markdown_row_has_as_many_cells_as_its_header(
    tmp_path: Path, grid: tuple[Comparison, dict]
) -> None:
    write_tables(grid[0], tmp_path, grid[1])
    text = (tmp_path / "tables" / "comparison.md").read_text()
    for block in re.findall(r"(?m)(?:^\|.*\n)+", text):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    for name in ("All rows together", "The claims", "Accuracy", "Acceleration", "Cost"):
        assert f"## {name}\n" in text


def check_latex(text: str) -> None:
    """Balanced braces and environments, no bare special character, no cell too many."""
    plain = re.sub(r"\\[\\{}$&#%_]", "", text)
    depth = 0
    for character in plain:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert plain.count("$") % 2 == 0
    outside = re.sub(r"\$[^$]*\$", "", plain)
    assert not re.search(r"[#%^~_<>±×−–]", outside)
    begun, ended = (re.findall(rf"\\{word}{{(\w+)}}", text) for word in ("begin", "end"))
    assert sorted(begun) == sorted(ended)
    for body in re.findall(r"(?s)\\begin{tabular}(.*?)\\end{tabular}", text):
        spec, rest = body.split("\\toprule\n")
        columns = len(re.findall(r"l|r|p{2.2cm}", spec.replace("@{}", "")))
        rows = [line for line in rest.splitlines() if line.endswith(r" \\")]
        assert len(rows) >= 2
        for row in rows:
            assert len(re.findall(r"(?<!\\)&", row)) == columns - 1


def test_latex_is_sound(tmp_path: Path, grid: tuple[Comparison, dict]) -> None:
    write_tables(grid[0], tmp_path / "grid", grid[1])
    write_tables(small(tmp_path), tmp_path / "small", {})
    for path in sorted(tmp_path.glob("*/tables/*.tex")):
        check_latex(path.read_text())
    text = (tmp_path / "small" / "tables" / "accuracy.tex").read_text()
    assert r"svrg\_\{x\}\%" in text
    assert r"\toprule" in text
    assert "$-$30.00 (n=1)" in text


@given(st.text(st.sampled_from("\\{}$&#%_^~<>[]|±×−–-0aé "), max_size=30))
def test_any_text_is_escaped(text: str) -> None:
    check_latex(latex(TextTable(text, text, [text, "b"], [[text, "1"]], labels=1)))


@given(st.text(st.sampled_from("|\\*_`<>[]ab "), max_size=20))
def test_any_text_stays_in_its_markdown_cell(text: str) -> None:
    from markdown_it import MarkdownIt

    table = TextTable("t", "c", ["a", "b"], [[f"x{text}x", "1"]])
    html = MarkdownIt("commonmark").enable("table").render(markdown(table))
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html)
    assert len(cells) == 2
    for escaped, plain in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        cells = [cell.replace(escaped, plain) for cell in cells]
    assert cells[0] == f"x{text}x"


def test_only_minus_signs_become_minus_signs() -> None:
    assert escape_latex("-1.50 [-0.1, +2]") == r"$-$1.50 {[}$-$0.1, +2{]}"
    assert escape_latex("pgd-10") == "pgd-10"


def test_a_comparison_survives_its_files(tmp_path: Path, grid: tuple[Comparison, dict]) -> None:
    for comparison in (grid[0], small(tmp_path)):
        write_tables(comparison, tmp_path, {})
        loaded = load_comparison(tmp_path)
        for name in ("main", "claims", "pooled"):
            before, after = getattr(comparison, name), getattr(loaded, name)
            assert list(before) == list(after)
            pd.testing.assert_frame_equal(before, after, check_dtype=False, rtol=1e-9)


def test_a_missing_or_foreign_comparison_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"comparison\.csv"):
        load_comparison(tmp_path)
    (tmp_path / "comparison.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="lacks the column 'correction'"):
        load_comparison(tmp_path)


def test_the_same_comparison_gives_the_same_bytes(
    tmp_path: Path, grid: tuple[Comparison, dict]
) -> None:
    first = write_tables(grid[0], tmp_path / "a", grid[1])
    second = write_tables(grid[0], tmp_path / "b", grid[1])
    assert set(first) == {path for path in (tmp_path / "a").rglob("*") if path.is_file()}
    assert len(first) == 18
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_provenance_says_what_and_where_but_no_host(
    tmp_path: Path, grid: tuple[Comparison, dict]
) -> None:
    write_tables(grid[0], tmp_path, grid[1])
    text = (tmp_path / "provenance.json").read_text()
    content = json.loads(text)
    assert content["cells"] == 180
    assert content["diverged"] == 8
    assert content["git_commit"] == ["0123456789abcdef"]
    assert content["machines"] == [
        {"device": "cpu", "cpu": "a cpu", "threads": "1", "cells": 180},
    ]
    assert "secret-host" not in text
    assert "180 cells" in (tmp_path / "tables" / "accuracy.md").read_text()


def test_the_terminal_table_fits_120_columns(tmp_path: Path, grid: tuple[Comparison, dict]) -> None:
    for comparison in (grid[0], small(tmp_path)):
        out = io.StringIO()
        print_comparison(comparison, Console(file=out, width=120))
        lines = out.getvalue().splitlines()
        assert max(map(len, lines)) <= 120
        assert "…" not in out.getvalue()
    text = out.getvalue()
    assert "80.00 (n=1)" in text
    assert "-30.00 (n=1)" in text
    assert "diverged" in text
    assert "reached" in text
