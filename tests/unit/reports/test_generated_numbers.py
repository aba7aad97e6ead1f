"""Every number of a generated text is of the data: none is typed in, none is rounded otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agc.grids.cell import REVISION
from agc.reports.blocks import BLOCKS
from agc.reports.budgets import budget_ladders
from agc.reports.claims import PAPER, claims
from agc.reports.curves import read_curves
from agc.reports.families import adjusted, expected_best_of, many_to_one
from agc.reports.paper_metrics import BUDGETS
from agc.reports.pooled import MARGIN, pooled
from agc.reports.tables import pooled as pooled_texts
from agc.reports.tables.claims import claim_lines
from agc.reports.tables.ladder import ladder_lines
from agc.reports.tables.pooled import pooled_lines
from agc.reports.text import findings
from agc.reports.text.effects import effects, judge_rows
from tests.support.generated_texts import (
    GRID,
    LADDER,
    TUNING,
    Made,
    block,
    page_and_tables,
    shifted,
    texts_of_lines,
)
from tests.support.printed_numbers import Values, is_rounding, unexplained, values

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
PUBLISHED = values([(claim.paper, -claim.paper) for claim in PAPER.values()])
"""The paper's numbers; of "fewer epochs" without their sign."""


def of_frame(name: str, frame: pd.DataFrame | None) -> Values:
    """What texts may make of a frame: accuracies and shares in percent, ratios as changes."""
    if frame is None or not len(frame):
        return values()
    if name == "pooled":
        return values(frame)
    if name != "ladder":
        return values(frame, scales=(1, 100))
    ratios = frame[["ratio", "low", "high", "low90", "high90", "detectable", "paper", "margin"]]
    ratios = ratios.assign(other=1 / ratios["margin"])
    errors = frame[["overlap_low", "overlap_high"]]
    return values(frame, ratios, 100 * (ratios - 1), 100 * errors, 100 * frame[["sparsity"]])


def named(made: Made) -> set[str]:
    """Labels, versions, commits, and moments to the minute."""
    texts = set(strings([made.records.to_dict("list"), made.provenance]))
    moments = {
        f"{datetime.fromisoformat(made.provenance[key]).astimezone(UTC):%Y-%m-%d %H:%M}"
        for key in ("started", "finished")
    }
    texts |= {text[:12] for text in made.provenance["git_commit"]} | moments
    return {text for text in texts if re.search("[^0-9. ]", text) or "." in text[2:-1]}


def strings(source: Any) -> Iterator[str]:
    if isinstance(source, str):
        yield source
    elif isinstance(source, dict | list):
        for item in source.values() if isinstance(source, dict) else source:
            yield from strings(item)


def of_provenance(made: Made) -> Values:
    return values(made.provenance, made.provenance["train_seconds"] / 60, REVISION)


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


@pytest.mark.parametrize("study", STUDIES)
def test_the_numbers_of_a_line_are_its_own(study: str, studies: dict[str, Made]) -> None:
    made = studies[study]
    kept, altered = 0, 0
    for name, line, text in texts_of_lines(made.comparison):
        allowed = np.unique(np.concatenate([of_frame(name, line), PUBLISHED]))
        assert not unexplained(text, allowed, named(made))
        for number in re.findall(r"[+-]\d+\.\d\d(?! \()", text):
            other = f"{float(number) + 0.03:+.2f}"
            kept += is_rounding(other, allowed)
            altered += 1
    # A wrong digit is seen: few numbers of one line are another by chance.
    assert altered > 100
    assert kept < 0.1 * altered


def of_block(name: str, studies: dict[str, Made]) -> Values:
    """What a block's numbers may be made of, beside the pooled estimates."""
    made = studies[LADDER if name == "ladder" else GRID]
    records, main = made.records, made.comparison.main
    plain = records[(records["correction"] == "none") & (records["status"] == "finished")]
    if name == "paper":
        return np.unique(np.concatenate([PUBLISHED, values(len(BUDGETS))]))
    if name == "ladder":
        return of_frame("ladder", made.comparison.ladder)
    if name in ("answer", "bsr"):
        robust = judged_rows(records, "robust", "holm") if name == "bsr" else []
        clear = sum(row.p < 0.05 for row in robust)
        numbers = [(100 * row.row.mean, 100 * row.row.low, 100 * row.row.high) for row in robust]
        means = [100 * e.base.mean() for c in ARMS for e in effects(records, c, measure="robust")]
        own = [row.p for row in robust], numbers, means, clear, len(robust)
        return values(main, *own, scales=(1, 100))
    if name == "findings":
        return np.unique(np.concatenate([of_findings(made), of_provenance(made)]))
    if name == "contrasts":
        renamed = records[records["correction"] != "none"]
        swap = {"placebo": "none"}
        found = pooled(renamed.assign(correction=renamed["correction"].replace(swap)))
        found = found[found["budget"] == "epochs"]
        return values(found, adjusted(found["p"], "holm"))
    if name == "by":
        parts = [pooled(part) for _, part in records.groupby("sparsity")]
        return values(*parts, [95, 98])
    if name == "corrections":
        units = records.groupby(["objective", "correction"])["units_per_epoch"].mean()
        return values(made.comparison.pooled, units.tolist())
    if name == "methods":
        groups = plain.groupby(["method", "sparsity"])
        flops = plain["training_flops"] / plain["dense_training_flops"]
        means = flops.groupby([plain["method"], plain["sparsity"]]).mean()
        accuracy = groups["final_test_accuracy"]
        return values(*accuracy.mean(), *accuracy.std(), *means, [0.95, 0.98], scales=(1, 100))
    if name == "dunnett":
        return of_dunnett(plain)
    if name in ("studies", "demo"):
        all_of = [one.records for one in studies.values()]
        counts = [(len(one), one["seed"].nunique()) for one in all_of]
        minutes = [one["seconds_total"].sum() / 60 for one in all_of]
        return values(counts, minutes, *(one["epochs"].tolist() for one in all_of))
    return values(made.comparison.pooled)


ARMS = ("agc", "placebo")


def judged_rows(records: pd.DataFrame, measure: str, how: Any) -> list[Any]:
    attacked = records[records["objective"] != "standard"] if measure == "robust" else records
    every = [effect for arm in ARMS for effect in effects(attacked, arm, measure=measure)]
    return judge_rows(every, 0.01, how)


def of_findings(made: Made) -> Values:
    """What rows could have shown, from the columns of the comparison."""
    main = made.comparison.main
    rows = main[main["correction"] == "agc"]
    detectable, room = rows["accuracy_difference_mde80"], rows["headroom"]
    counts = [len(rows), (rows["accuracy_difference_p_bh"] < 0.05).sum(), (detectable > room).sum()]
    family = effects(made.records, "agc")
    chance = expected_best_of([one.row.se for one in judge_rows(family, 0.01, "fdr_bh")]).mean
    largest = rows["accuracy_difference_mean"].max()
    points = [100 * np.array([*detectable, *room, largest, chance])]
    return values(made.comparison.pooled, *points, [int(count) for count in counts])


def of_dunnett(plain: pd.DataFrame) -> Values:
    numbers: list[Any] = [[95, 98]]
    for _, group in plain.groupby("sparsity"):
        arms = {key: runs["final_test_accuracy"] for key, runs in group.groupby("method")}
        if "set" not in arms:
            continue
        found = many_to_one(arms, arms.pop("set"))
        numbers += [(50 * (one.high - one.low), one.p) for one in found.values()]
        ends = [(one.difference, one.low, one.high) for one in found.values()]
        numbers.append(100 * np.array(ends))
        numbers += [len(found), sum(one.p < 0.05 for one in found.values())]
    return values(numbers)


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_blocks_of_pages_have_no_number_of_their_own(name: str, studies: dict[str, Made]) -> None:
    text = block(studies[GRID].reports, name)
    assert re.search(r"\d", text)
    made = studies[LADDER if name == "ladder" else GRID]
    assert not unexplained(text, of_block(name, studies), named(made))


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


# --- other data, other texts ----------------------------------------------------------------------


def test_no_line_stays_when_the_accuracies_of_a_correction_are_others(
    studies: dict[str, Made],
) -> None:
    for study, by in ((GRID, -0.02), (LADDER, 0.02)):
        made = studies[study]
        records, epochs = shifted(made, by)
        together = pooled(records)
        pairs = [(pooled_lines(made.comparison.pooled), pooled_lines(together))]
        if study == GRID:
            again = claims(records, read_curves(records, epochs), together, MARGIN)
            pairs.append((claim_lines(made.comparison.claims), claim_lines(again)))
        else:
            again = budget_ladders(records)
            pairs.append((ladder_lines(made.comparison.ladder), ladder_lines(again)))
        for one, other in pairs:
            assert len(one) == len(other) > 2
            for line, changed in zip(one, other, strict=True):
                said, now = (text.split(": ", 1)[1] for text in (line, changed))
                assert (said == now) == ("placebo" in line), line
