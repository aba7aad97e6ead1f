"""Published figures as tables: only where everything matches, with what is not covered counted."""

from __future__ import annotations

from pathlib import Path

from agc.reports.compare import compare
from agc.reports.published import read_published
from agc.reports.tables.published import LACKING, coverage, published_tables
from agc.reports.tables.write import write_tables
from tests.support.records import collected, entry, write_cell

RESNET = {"dataset": entry("imagenet"), "architecture": entry("resnet50")}


def test_a_row_appears_where_data_network_method_and_sparsity_match(tmp_path: Path) -> None:
    rigl = {"method": entry("rigl"), **RESNET}
    folders = [
        *(write_cell(tmp_path, sparsity=0.9, seed=seed, **rigl) for seed in range(3)),
        write_cell(tmp_path, sparsity=0.9, correction=entry("agc"), **rigl),
        write_cell(tmp_path, sparsity=0.85, **rigl),
        write_cell(tmp_path, sparsity=0.9, method=entry("rigl")),
    ]
    comparison = compare(*collected(folders, tmp_path / "out"))
    (table,) = published_tables(comparison.published)
    assert table.title == "imagenet, resnet50: published"
    published = read_published()
    expected = published[
        (published[["dataset", "architecture", "method"]] == ["imagenet", "resnet50", "rigl"]).all(
            axis=1
        )
        & (published["sparsity"] == 0.9)
        & published["epochs"].isna()  # a known number of epochs is another one than ours
    ]
    assert len(expected) > 1
    shown = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    assert [row["published"] for row in shown] == [
        f"{value:.2f}".rstrip("0").rstrip(".") for value in expected["mean"]
    ]
    main = comparison.main
    plain = main[(main["sparsity"] == 0.9) & (main["dataset"] == "imagenet")].iloc[0]
    mean, sd = 100 * plain["plain_final_accuracy_mean"], 100 * plain["plain_final_accuracy_sd"]
    assert {row["ours"] for row in shown} == {f"{mean:.2f} ± {sd:.2f} (3)"}
    assert {row["sparsity"] for row in shown} == {"90 %"}
    assert {row["correction"] for row in shown} == {"none"}
    gaps = [f"{mean - value:+.2f}" for value in expected["mean"]]
    assert [row["ours − published"] for row in shown] == gaps
    assert len(expected) == comparison.published.covered
    assert coverage(comparison.published).startswith(
        f"Of {len(published)} published rows {len(expected)} are covered; the others: "
    )

    write_tables(comparison, tmp_path / "report", {})
    tables = tmp_path / "report" / "tables"
    text = (tables / "published.md").read_text()
    assert "verbiiyo/rigl-torch@34d19e4" in text
    assert f"Of {len(published)} published rows" in text
    assert "Published figures" in (tables / "comparison.md").read_text()
    assert len((tables / "published.csv").read_text().splitlines()) == 1 + len(expected)


def test_every_reason_has_its_words(tmp_path: Path) -> None:
    comparison = compare(*collected([write_cell(tmp_path)], tmp_path / "out"))
    text = coverage(comparison.published)
    assert set(comparison.published.lacking) <= set(LACKING)
    assert f"{comparison.published.total} of another data set" in text


def test_a_grid_that_nobody_published_has_no_such_table(tmp_path: Path) -> None:
    comparison = compare(*collected([write_cell(tmp_path)], tmp_path / "out"))
    assert published_tables(comparison.published) == []
    out = tmp_path / "report"
    (out / "tables").mkdir(parents=True)
    (out / "tables" / "published.md").write_text("of an earlier collection")
    write_tables(comparison, out, {})
    assert not list((out / "tables").glob("published.*"))
