"""Every number of a generated text is of the data: none is typed in, none is rounded otherwise."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from agc.reports.blocks import BLOCKS
from agc.reports.budgets import budget_ladders
from agc.reports.claims import claims
from agc.reports.curves import read_curves
from agc.reports.pages import s10_nulls
from agc.reports.pages.base import Context
from agc.reports.pooled import MARGIN, pooled
from agc.reports.tables import pooled as pooled_texts
from agc.reports.tables.claims import claim_lines
from agc.reports.tables.ladder import ladder_lines
from agc.reports.tables.pooled import pooled_lines
from agc.reports.text import findings
from tests.support.generated_texts import (
    GRID,
    LADDER,
    OF_HYPOTHESES,
    TUNING,
    Made,
    block,
    page_and_tables,
    shifted,
    texts_of_lines,
)
from tests.support.printed_numbers import is_rounding, unexplained, values
from tests.support.study_pages import whole_text
from tests.support.text_sources import (
    PUBLISHED,
    named,
    named_on_study_page,
    named_systems,
    of_block,
    of_frame,
    of_provenance,
    of_study_page,
)

STUDIES = [GRID, LADDER]
FRAMES = {
    "README.md": ["main", "pooled", "ladder", "calibration"],
    "terminal": ["main", "pooled", "ladder", "claims"],
    "claims.md": ["claims", "main"],
    "comparison.md": ["main", "pooled", "ladder", "claims", "calibration"],
    **{f"{name}.md": [name] for name in ("pooled", "ladder", "calibration")},
    **{f"{name}.md": ["main"] for name in ("accuracy", "acceleration", "cost", "methods")},
}
"""What frames of a comparison a text is made of."""


@pytest.mark.parametrize("study", STUDIES)
def test_pages_tables_and_terminal_have_no_number_of_their_own(
    study: str, studies: dict[str, Made], tmp_path: Path
) -> None:
    made = studies[study]
    texts = page_and_tables(made, tmp_path)
    assert set(texts) == {*FRAMES} - {"ladder.md" if study == GRID else "methods.md"}
    shared = [of_provenance(made), PUBLISHED, values(TUNING, scales=(1, 100))]
    for name, text in texts.items():
        frames = [of_frame(key, getattr(made.comparison, key)) for key in FRAMES[name]]
        allowed = np.unique(np.concatenate([*frames, *shared]))
        assert not unexplained(text, allowed, named(made)), name


def test_the_numbers_of_a_line_are_its_own(studies: dict[str, Made]) -> None:
    kept, altered = 0, 0
    for study, made in studies.items():
        for name, line, text in texts_of_lines(made.comparison):
            if study == LADDER and name != "ladder":
                continue  # As in the other study.
            allowed = np.union1d(of_frame(name, line), PUBLISHED)
            assert not unexplained(text, allowed, named(made))
            for number in re.findall(r"[+-]\d+\.\d\d(?! \()", text):
                kept += is_rounding(f"{float(number) + 0.03:+.2f}", allowed)
                altered += 1
    # A wrong digit is seen: few numbers of one line are another of it by chance.
    assert altered > 100
    assert kept < 0.2 * altered


@pytest.mark.parametrize("name", sorted(set(BLOCKS) - set(OF_HYPOTHESES)))
def test_blocks_of_pages_have_no_number_of_their_own(name: str, studies: dict[str, Made]) -> None:
    text = block(studies[GRID].reports, name)
    # The planted studies have no card that was measured.
    assert bool(re.search(r"\d", text)) == (name != "cards")
    made = studies[LADDER if name == "ladder" else GRID]
    assert not unexplained(text, of_block(name, studies), named(made))


@pytest.mark.parametrize("name", OF_HYPOTHESES)
def test_blocks_of_a_study_in_stages_have_no_number_of_their_own(
    name: str, study_page: tuple[Path, Context]
) -> None:
    out, context = study_page
    text = block(out.parent, name)
    assert re.search(r"\d", text)
    names = named_on_study_page(context) | named_systems()
    assert not unexplained(text, of_study_page(context), names)


def test_the_page_of_a_study_has_no_number_of_its_own(study_page: tuple[Path, Context]) -> None:
    out, context = study_page
    allowed, names = of_study_page(context), named_on_study_page(context)
    text = whole_text(context)
    assert len(re.findall(r"\d", text)) > 1000
    assert not unexplained(text, allowed, names)
    assert not unexplained((out / "README.md").read_text(encoding="utf-8"), allowed, names)


# --- planted faults -------------------------------------------------------------------------------


def test_a_number_that_is_typed_into_a_caption_is_found(
    studies: dict[str, Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooled_texts, "CAPTION", "Up to 12.34 points, by 71 % of 95 %.")
    made = studies[GRID]
    text = page_and_tables(made, tmp_path)["pooled.md"]
    allowed = of_frame("pooled", made.comparison.pooled)
    found = unexplained(text, np.union1d(allowed, of_provenance(made)), named(made))
    assert [line.split(" ")[0] for line in found] == ["12.34", "71"]


def test_a_number_that_is_typed_into_a_sentence_or_a_cell_is_found(
    studies: dict[str, Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = studies[GRID]
    allowed = of_block("verdicts", studies)
    monkeypatch.setattr(findings, "pooled_lines", lambda _: ["accuracy: +12.34 points"])
    found = unexplained(block(made.reports, "verdicts"), allowed, named(made))
    assert {"+12.34" in line for line in found} == {True}
    assert len(found) == 2
    assert unexplained("| a |\n| :--- |\n| 95 |", values(1)) == ["95 in: | 95 |"]
    assert unexplained("-1.2 and 1.3 and 1", values(1.2, 1.26)) == ["-1.2 in: -1.2 and 1.3 and 1"]


def test_a_number_that_is_typed_into_a_section_is_found(
    study_page: tuple[Path, Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, context = study_page
    monkeypatch.setattr(s10_nulls, "COUNTS", "Of these 71 are 12.34.")
    found = unexplained(whole_text(context), of_study_page(context), named_on_study_page(context))
    assert [line.split(" ")[0] for line in found] == ["71", "12.34"]


# --- other data, other texts ----------------------------------------------------------------------


def test_no_line_stays_when_the_accuracies_of_a_correction_are_others(
    studies: dict[str, Made],
) -> None:
    for study, by in ((GRID, -0.02), (LADDER, 0.02)):
        made = studies[study]
        records, epochs = shifted(made, by)
        if study == GRID:
            together = pooled(records)
            pairs = [(pooled_lines(made.comparison.pooled), pooled_lines(together))]
            again = claims(records, read_curves(records, epochs), together, MARGIN)
            pairs.append((claim_lines(made.comparison.claims), claim_lines(again)))
        else:
            again = budget_ladders(records)
            pairs = [(ladder_lines(made.comparison.ladder), ladder_lines(again))]
        for one, other in pairs:
            assert len(one) == len(other) > 2
            for line, changed in zip(one, other, strict=True):
                said, now = (text.split(": ", 1)[1] for text in (line, changed))
                assert (said == now) == ("placebo" in line), line
