"""The page of a study in stages: its box first, its files whole, and what was not run by name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agc.reports.hypotheses.base import HYPOTHESES, Finding
from agc.reports.page import DEVIATIONS
from agc.reports.pages.base import Context
from agc.reports.pages.s01_answers import assay_sentence
from agc.reports.pages.s06_deviations import without_title
from agc.reports.pages.shared.stages import ALL, not_run, stage_counts
from agc.reports.pages.shared.variants import variants
from agc.reports.verdict import FAILS, HOLDS, NOT_RUN, OPEN
from tests.support.study_pages import CHANGED, NEVER_RUN

LONGEST, LARGEST, LARGEST_PICTURE = 400, 600_000, 105_000


@pytest.fixture
def readme(study_page: tuple[Path, Context]) -> str:
    return (study_page[0] / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def html(study_page: tuple[Path, Context]) -> str:
    return (study_page[0] / "report.html").read_text(encoding="utf-8")


def test_the_page_begins_with_a_line_for_each_hypothesis(
    readme: str, study_page: tuple[Path, Context]
) -> None:
    headings = re.findall(r"(?m)^## (.*)$", readme)
    assert headings[0] == "Answers"
    box = readme[: readme.index(f"## {headings[1]}")]
    rows = [line.strip("| ").split(" | ") for line in box.splitlines() if line.startswith("| H")]
    findings = study_page[1].findings
    assert [(row[0], row[2]) for row in rows] == [(f.hypothesis.key, f.word) for f in findings]
    assert {row[2] for row in rows} >= {FAILS, NOT_RUN}
    assert len(readme.splitlines()) < LONGEST


def test_every_digit_of_every_estimate_is_in_the_table(study_page: tuple[Path, Context]) -> None:
    out, context = study_page
    table = pd.read_csv(out / "hypotheses.csv", keep_default_na=False)
    parts = [part for found in context.findings for part in found.parts]
    known = table[table["what"] != ""]
    assert known["what"].tolist() == [part.what for part in parts]
    for name in ("value", "p", "margin", "detectable"):
        numbers = pd.to_numeric(known[name], errors="coerce")
        np.testing.assert_array_equal(numbers, [getattr(part, name) for part in parts])
    np.testing.assert_array_equal(
        known[["low", "high", "low90", "high90"]].astype(float), [part.bounds for part in parts]
    )
    words = {found.hypothesis.key: found.word for found in context.findings}
    assert dict(zip(table["key"], table["hypothesis"], strict=True)) == words


def test_the_html_needs_no_other_file(html: str, study_page: tuple[Path, Context]) -> None:
    assert len(html.encode()) < LARGEST
    sources = re.findall(r'(?:src|href)="([^"]{1,60})', html)
    assert all(source.startswith(("data:", "#", "PREREGISTRATION.md")) for source in sources)
    assert not re.findall(r"<(script|img)[^>]* src=\"(?!data:)|@import|url\(", html)
    assert 'name="viewport"' in html
    assert "prefers-color-scheme: dark" in html
    skip, *anchors = re.findall(r'href="#([^"]+)"', html)
    assert anchors == re.findall(r'<section id="([^"]+)"', html)
    assert skip == anchors[0] == "answers"
    assert len(anchors) == 16
    assert (study_page[0] / "hypotheses.png").stat().st_size < LARGEST_PICTURE
    # Tables that the page for GitHub leaves out.
    assert html.count("<table ") > 15


def test_every_stage_with_a_finished_cell_has_its_curves(
    readme: str, html: str, study_page: tuple[Path, Context]
) -> None:
    study = study_page[1].study
    drawn = html[html.index('<section id="curves"') :]
    ran = [stage for stage in sorted(study.stages) if stage != NEVER_RUN]
    assert re.findall(r"<h3>([^<]*)</h3>", drawn) == ran
    for stage, panels in zip(ran, drawn.split("<h3>")[1:], strict=True):
        own = study.of(stage)
        names = set(own.loc[own["status"] == "finished", "correction"])
        found = [json.loads(text) for text in re.findall(r'json">(.*?)</script>', panels)]
        assert {line["name"] for panel in found for line in panel["lines"]} == names
        epochs = study.epochs[study.epochs["slug"].isin(own["slug"])]
        assert max(panel["last"] for panel in found) == epochs["epoch"].max()
    # Of recipes a panel names what differs within its stage.
    titles = re.findall(r"<figcaption>([^<]*)<", drawn.partition("<h3>study-ladder</h3>")[2])
    assert "rigl 95 %, epochs=5" in titles
    # GitHub draws no script's figures.
    assert "Learning curves" not in readme


def test_what_was_not_run_is_counted_and_named(
    readme: str, html: str, study_page: tuple[Path, Context]
) -> None:
    context = study_page[1]
    counts = stage_counts(context)
    never = context.study.stages[NEVER_RUN]
    assert counts.loc[NEVER_RUN].tolist() == [len(never), 0, 0, 0, len(never)]
    assert {slug for stage, slug in not_run(context) if stage == NEVER_RUN} == set(never)
    assert all(slug in html for slug in never)
    # Stages share cells; together each counts once.
    once = len(frozenset().union(*context.study.stages.values()))
    assert counts.loc[ALL, "planned"] == once < counts["planned"].iloc[:-1].sum()
    (lost,) = context.records.loc[context.records["status"] == "diverged", "slug"]
    assert f"`{lost}`: diverged" in readme
    assert "- no: every planned cell has been run" in readme


def test_other_readings_change_what_they_say(study_page: tuple[Path, Context]) -> None:
    study = study_page[1].study
    readings = dict(variants(study))
    assert list(readings) == [
        "the epoch that validation images choose",
        "without 98 %",
        "diverged at chance",
    ]
    chosen = readings["the epoch that validation images choose"].records["final_test_accuracy"]
    np.testing.assert_array_equal(chosen, study.records["best_test_accuracy"])
    assert set(readings["without 98 %"].records["sparsity"]) == {0.9, 0.95}
    lost = study.records["status"] == "diverged"
    counted = readings["diverged at chance"].records
    assert counted.loc[lost, "final_test_accuracy"].tolist() == [0.1]
    records = study.records.copy()
    records.loc[records.index[:9], "provenance_cpu_capability"] = "AVX512"
    several = dict(variants(study._replace(records=records)))
    assert len(several["AVX512 alone"].records) == 9


@pytest.mark.parametrize(
    ("word", "says"), [(HOLDS, "shows"), (FAILS, "nothing else"), (OPEN, "until it holds")]
)
def test_the_assay_says_what_may_be_interpreted(word: str, says: str) -> None:
    assert says in assay_sentence(Finding(HYPOTHESES["H0"].target(), [], word, float("nan")))


def test_deviations_stand_on_the_page_as_they_were_written(
    readme: str, study_page: tuple[Path, Context]
) -> None:
    assert CHANGED.partition("\n\n")[2].strip() in readme
    assert (study_page[0] / DEVIATIONS).read_text(encoding="utf-8") == CHANGED
    assert without_title("# A\n\nb\n\n## C\nd") == "b\n\n#### C\nd"
