"""Published figures: whole, and beside our rows only where everything matches."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from agc.registry import METHODS
from agc.reports.compare import compare
from agc.reports.tables.published import KEY, published_tables, read_published
from agc.reports.tables.write import write_tables
from tests.support.records import collected, entry, write_cell

RESNET = {"dataset": entry("imagenet"), "architecture": entry("resnet50")}


def test_every_published_row_is_complete_and_says_its_source() -> None:
    table = read_published()
    assert len(table) == 364
    # Some sources do not state the sparsity: such a row is kept and matches nothing.
    assert not table[[*KEY[:4], "source", "metric", "mean"]].isna().any().any()
    assert table["mean"].between(0, 100).all()
    assert table["sparsity"].dropna().between(0, 1, inclusive="left").all()
    assert (table.loc[table["method"] == "dense", "sparsity"] == 0).all()


def test_published_methods_are_spelt_as_ours() -> None:
    ours = set(METHODS.names())
    spelt = set(read_published()["method"])
    wanted = {"dense", "static", "set", "rigl", "snfs", "gmp", "deepr", "srigl", "rigl-itop"}
    wanted |= {"flying-bird", "flying-bird+", "top-kast", "n:m", "small-dense"}
    assert wanted <= spelt & ours


def test_a_row_appears_where_data_network_method_and_sparsity_match(tmp_path: Path) -> None:
    rigl = {"method": entry("rigl"), **RESNET}
    folders = [
        write_cell(tmp_path, sparsity=0.9, **rigl),
        write_cell(tmp_path, sparsity=0.9, correction=entry("agc"), **rigl),
        write_cell(tmp_path, sparsity=0.85, **rigl),
        write_cell(tmp_path, sparsity=0.9, method=entry("rigl")),
    ]
    comparison = compare(*collected(folders, tmp_path / "out"))
    (table,) = published_tables(comparison.main)
    assert table.title == "imagenet, resnet50: published"
    published = read_published()
    expected = published[
        (published[["dataset", "architecture", "method"]] == ["imagenet", "resnet50", "rigl"]).all(
            axis=1
        )
        & (published["sparsity"] == 0.9)
    ]
    assert len(expected) > 1
    assert [row[5] for row in table.rows] == [
        f"{value:.2f}".rstrip("0").rstrip(".") for value in expected["mean"]
    ]
    assert {row[2] for row in table.rows} == {"90 %"}
    write_tables(comparison, tmp_path / "report", {})
    assert "google-research/rigl" in (tmp_path / "report" / "tables" / "published.md").read_text()
    assert "Published figures" in (tmp_path / "report" / "tables" / "comparison.md").read_text()


def test_a_grid_that_nobody_published_has_no_such_table(tmp_path: Path) -> None:
    comparison = compare(*collected([write_cell(tmp_path)], tmp_path / "out"))
    assert published_tables(comparison.main) == []
    write_tables(comparison, tmp_path / "report", {})
    assert not (tmp_path / "report" / "tables" / "published.md").exists()
    assert isinstance(comparison.main, pd.DataFrame)
