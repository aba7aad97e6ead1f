"""Each hypothesis says what was planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from agc.grids.cell import Cell
from agc.reports.findings import findings
from agc.reports.verdict import FAILS, HOLDS, NOT_RUN, OPEN
from tests.support.planted_studies import (
    DOUBLING,
    LONG,
    SD,
    Made,
    agc,
    by_batch,
    by_zeros,
    longer,
    noise,
    nothing,
    of,
)
from tests.support.study_records import (
    make_study,
    replanted,
    stage_cells,
)

PLANTED = [
    ("H0", nothing, None, HOLDS),
    ("H0", longer(-LONG), None, FAILS),
    ("H0", longer(0.005 - LONG), None, OPEN),
    ("H0", of("placebo", 0.01), None, FAILS),
    ("H0", of("none", 0.01), None, FAILS),  # A placebo that does harm, by that.
    ("H1", agc(0.01), None, HOLDS),
    ("H1", nothing, None, FAILS),
    ("H1", agc(0.005), None, OPEN),
    ("H2", agc(DOUBLING), None, HOLDS),
    ("H2", nothing, None, FAILS),
    ("H2", agc(DOUBLING * np.log2(1 / 0.8)), None, OPEN),
    ("H3", agc(LONG), None, HOLDS),
    ("H3", nothing, None, FAILS),
    ("H3", lambda cell: agc(LONG)(cell) + noise(0.05)(cell), None, OPEN),
    ("H4", agc(0.01), None, HOLDS),
    ("H4", agc(-0.01), None, HOLDS),
    ("H4", nothing, None, FAILS),
    ("H4", agc(0.003), None, OPEN),
    ("H5", nothing, 0.9, HOLDS),
    ("H5", nothing, 0.5, FAILS),
    ("H5", nothing, 0.97, OPEN),
    ("H5", agc(0.01), 0.9, FAILS),
    ("H5", nothing, None, OPEN),  # Not measured.
    ("H6", by_batch(0.005), None, HOLDS),
    ("H6", nothing, None, FAILS),
    ("H6", by_batch(0.0025), None, OPEN),
    ("H7", by_zeros(0.01), None, HOLDS),
    ("H7", nothing, None, FAILS),
    ("H7", by_zeros(0.005), None, OPEN),
    ("H9", of("agc", 0.01, gamma=0.0), None, HOLDS),
    ("H9", nothing, None, FAILS),
    ("H9", of("agc", 0.003, gamma=0.0), None, OPEN),
]


@pytest.mark.parametrize(("key", "effect", "ratio", "word"), PLANTED)
def test_a_hypothesis_says_what_was_planted(
    key: str, effect: Callable[[Cell], float], ratio: float | None, word: str, made: Made
) -> None:
    assert made.planted(effect, ratio).finding(key).word == word


def test_without_its_stages_a_hypothesis_has_not_been_run(made: Made) -> None:
    empty = made.study._replace(stages={})
    for found in findings(empty):
        assert (found.word, found.parts) == (NOT_RUN, []), found.hypothesis.key
        assert np.isnan(found.p_holm)
    assert made.without("study-published").finding("H9").word == NOT_RUN


def test_half_of_what_decides_leaves_a_hypothesis_open(made: Made) -> None:
    half = made.without("study-controls").finding("H0")
    assert all(part.holds for part in half.parts)
    assert (len(half.parts), half.word) == (2, OPEN)
    # But one that fails is enough.
    worse = made.planted(of("placebo", 0.01)).without("study-controls")
    assert worse.finding("H0").word == FAILS


@pytest.fixture(scope="module")
def attacked() -> Made:
    stages = stage_cells(("attack", "bsr", "collapse"))
    return Made(make_study(stages=stages, sd=SD), stages)


def raw(by: float) -> Callable[[Cell], float]:
    """What a constant does with images as they are, from the first epoch on."""

    def effect(cell: Cell) -> float:
        options = cell.correction.options
        return by * (options.get("pass_images") == "raw" and not options.get("start"))

    return effect


def clean_gradient(by: float) -> Callable[[Cell], float]:
    """The same for the published code, a clean bias and a clean share."""

    def effect(cell: Cell) -> float:
        share = cell.objective.options.get("clean_share", 0) > 0
        clean = cell.correction.name == "clean-bias"
        return by * (of("agc", 1, variant="a-bsr")(cell) + clean + share)

    return effect


def published_alone(by: float) -> Callable[[Cell], float]:
    return of("agc", by, variant="a-bsr")


UNDER_ATTACK = [
    ("H8a", published_alone(0.03), HOLDS),
    ("H8a", nothing, FAILS),
    ("H8a", published_alone(0.01), OPEN),
    ("H8b", clean_gradient(0.03), HOLDS),
    ("H8b", published_alone(0.03), FAILS),
    ("H8c", nothing, HOLDS),
    ("H8c", of("agc", 0.03, variant="corrected"), FAILS),
]


@pytest.mark.parametrize(("key", "effect", "word"), UNDER_ATTACK)
def test_under_attack_a_hypothesis_says_what_was_planted(
    key: str, effect: Callable[[Cell], float], word: str, attacked: Made
) -> None:
    column = "final_robust_accuracy"
    study = replanted(attacked.study, attacked.stages, effect, column)
    assert replace(attacked, study=study).finding(key).word == word


@pytest.mark.parametrize(("by", "word"), [(-0.75, HOLDS), (0.0, FAILS)])
def test_a_collapse_is_an_accuracy_near_chance(by: float, word: str, attacked: Made) -> None:
    assert attacked.planted(raw(by)).finding("H11").word == word


def test_a_collapse_to_chance_in_every_run_holds_without_a_spread(attacked: Made) -> None:
    records = attacked.study.records
    own = records["correction_in_full"] == "constant(pass_images=raw)"
    lost = records.assign(status=records["status"].where(~own, "diverged"))
    found = replace(attacked, study=attacked.study._replace(records=lost)).finding("H11")
    assert found.parts[0].value == pytest.approx(0.1 - 0.2)
    assert found.word == HOLDS


@pytest.mark.parametrize(
    ("early", "late", "word"), [(0.02, 0.0, HOLDS), (-0.02, 0.0, FAILS), (0.02, 0.02, FAILS)]
)
def test_headlines_are_read_before_the_first_drop_and_at_the_end(
    early: float, late: float, word: str, attacked: Made
) -> None:
    study = attacked.study
    records = study.records
    own = set(records.loc[records["correction_in_full"] == "constant", "slug"])
    epochs = study.epochs.copy()
    ours = epochs["slug"].isin(own)
    epochs["test_accuracy"] += np.where(ours, np.where(epochs["epoch"] <= 5, early, late), 0)
    found = replace(attacked, study=study._replace(epochs=epochs)).finding("H10")
    assert found.word == word
    assert [part.what for part in found.parts if part.deciding] == [
        "constant - none, before the drop",
        "constant - none, last epoch",
    ]
