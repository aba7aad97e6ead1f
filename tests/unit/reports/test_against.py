"""The words for a second set of records: identical, reproduced, not reproduced, open."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from agc.reports.against import (
    IDENTICAL,
    NOT_REPRODUCED,
    OPEN,
    REPRODUCED,
    Check,
    Gap,
    check_against,
    difference,
    word_for,
)
from agc.reports.rows import mean_of_rows
from agc.reports.same_cells import match_cells
from tests.support.two_sets import Study, drawn, first_set

MARGINS = {"accuracy": 0.5, "robust": 0.5}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return first_set(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return first_set(tmp_path_factory.mktemp("attacked"), objective="pgd-at")


def check(study: Study, **how: float) -> Check:
    """The set against one that is drawn anew."""
    records, epochs = study
    return check_against(match_cells(study, (drawn(records, 1, **how), epochs)), MARGINS)


def words(found: Check) -> dict[tuple[str, bool, str], str]:
    return {(own.measure, own.effect, own.correction): own.word for own in found.pooled}


def test_difference_of_single_rows_is_welch() -> None:
    one, other = [0.1, 0.5, 0.2, 0.35], [0.4, 0.9, 0.6]
    found = difference(mean_of_rows([one]), mean_of_rows([other]))
    for level, ends in ((0.95, (found.low, found.high)), (0.9, (found.low90, found.high90))):
        oracle = stats.ttest_ind(one, other, equal_var=False).confidence_interval(level)
        assert ends == pytest.approx((oracle.low, oracle.high))
    assert found.mean == pytest.approx(np.mean(one) - np.mean(other))


def test_rows_with_the_same_bits_dilute_a_difference_and_add_no_spread() -> None:
    one, other = [mean_of_rows([rows]) for rows in ([0.1, 0.5, 0.2], [0.4, 0.9, 0.6])]
    whole, half = difference(one, other), difference(one, other, share=0.5)
    assert np.array(half) == pytest.approx(0.5 * np.array(whole))
    assert np.isnan(difference(one, mean_of_rows([[0.4]])).low)


def test_intervals_of_two_draws_cover_what_they_say() -> None:
    rng = np.random.default_rng(0)
    sets = rng.normal(0, 1, (1000, 2, 7, 3))
    found = [difference(*(mean_of_rows(list(own)) for own in both)) for both in sets]
    # Three standard errors of a binomial share of 1000.
    assert np.mean([own.low < 0 < own.high for own in found]) == pytest.approx(0.95, abs=0.021)
    assert np.mean([own.low90 < 0 < own.high90 for own in found]) == pytest.approx(0.9, abs=0.029)


@pytest.mark.parametrize(
    ("ends", "word"),
    [
        ((-0.4, 0.4, -0.3, 0.3), REPRODUCED),
        ((-1.1, 0.9, -0.9, 0.7), REPRODUCED),  # the 90 % interval decides
        ((0.1, 0.9, 0.2, 0.8), REPRODUCED),  # it is not 0, and does not matter
        ((-1.2, 0.8, -1.0, 0.6), OPEN),
        ((0.1, 1.9, 0.3, 1.7), OPEN),  # it is not 0, and may matter
        ((1.0, 3.0, 1.2, 2.8), OPEN),
        ((1.1, 3.0, 1.3, 2.8), NOT_REPRODUCED),
        ((-3.0, -1.1, -2.8, -1.3), NOT_REPRODUCED),
        ((np.nan,) * 4, OPEN),
    ],
)
def test_word_of_a_difference(ends: tuple[float, ...], word: str) -> None:
    low, high, low90, high90 = ends
    gap = Gap((low + high) / 2, low, high, low90, high90)
    assert word_for(gap, 1.0) == word
    assert np.isnan(low) or gap.attained == max(-low90, high90)


def test_a_set_against_itself_is_identical(study: Study) -> None:
    found = check_against(match_cells(study, study), MARGINS)
    assert found.word == IDENTICAL
    assert found.holds
    assert {*words(found).values()} == {IDENTICAL}
    assert {own.word for own in found.rows} == {IDENTICAL}


def test_a_redraw_is_reproduced(study: Study, attacked: Study) -> None:
    found = check(attacked)
    assert (found.word, found.holds) == (REPRODUCED, True)
    arms = [(True, "agc"), (False, "agc"), (False, "none")]
    assert words(found) == {
        (measure, *arm): REPRODUCED for measure in ("accuracy", "robust") for arm in arms
    }
    assert all(own.rows == 4 and not own.lost for own in found.pooled)
    assert len(found.rows) == 8
    # In standard training robust accuracy is no result that anybody could count on.
    assert {own.measure for own in check(study).pooled} == {"accuracy"}


def test_numbers_of_both_sets_are_those_of_the_rows(study: Study) -> None:
    effect, *_ = check(study, effect=0.02).pooled
    for own, records in ((effect.here, study[0]), (effect.there, drawn(study[0], 1, effect=0.02))):
        means = records.groupby("correction")["final_test_accuracy"].mean()
        assert own.mean == pytest.approx(means["agc"] - means["none"])
    assert effect.gap.mean == pytest.approx(effect.here.mean - effect.there.mean)


def test_another_effect_is_not_reproduced_where_the_plain_level_is(study: Study) -> None:
    found = check(study, effect=0.02)
    assert (found.word, found.holds) == (NOT_REPRODUCED, False)
    assert words(found) == {
        ("accuracy", True, "agc"): NOT_REPRODUCED,
        ("accuracy", False, "agc"): NOT_REPRODUCED,
        ("accuracy", False, "none"): REPRODUCED,
    }


def test_another_level_is_not_reproduced_where_the_effect_is(study: Study) -> None:
    found = check(study, shift=-0.02)
    assert found.word == NOT_REPRODUCED
    assert words(found) == {
        ("accuracy", True, "agc"): REPRODUCED,
        ("accuracy", False, "agc"): NOT_REPRODUCED,
        ("accuracy", False, "none"): NOT_REPRODUCED,
    }


def test_too_few_runs_leave_it_open(study: Study) -> None:
    records, epochs = study
    few = records[records["seed"] < 1]
    other = drawn(few, 1)
    found = check_against(match_cells((few, epochs), (other, epochs)), MARGINS)
    assert (found.word, found.holds) == (OPEN, False)  # one pair a row: nothing tells the spread
    assert all(np.isnan(own.gap.low) for own in found.pooled)
    scattered = check(study, sd=0.03)
    assert (scattered.word, scattered.holds) == (OPEN, False)
    assert all(own.gap.attained > own.margin for own in scattered.pooled)


def test_one_row_drawn_anew_leaves_the_others_identical(study: Study) -> None:
    records, epochs = study
    other = drawn(records, 1)
    kept = records["method"] + records["sparsity"].astype(str) != "set0.95"
    other[kept] = records[kept]
    found = check_against(match_cells(study, (other, epochs)), MARGINS)
    assert [own.word for own in found.rows].count(IDENTICAL) == 3
    effect = found.pooled[0]
    differences = [
        own[~kept]
        .pivot_table(index="seed", columns="correction", values="final_test_accuracy")
        .eval("agc - none")
        for own in (records, other)
    ]
    oracle = stats.ttest_ind(*differences, equal_var=False).confidence_interval()
    assert (effect.gap.low, effect.gap.high) == pytest.approx((oracle.low / 4, oracle.high / 4))


def test_a_run_that_finished_in_one_set_alone_forbids_to_call_it_reproduced(study: Study) -> None:
    records, epochs = study
    other = drawn(records, 1)
    other.loc[0, "status"] = "diverged"
    found = check_against(match_cells(study, (other, epochs)), MARGINS)
    assert {*words(found).values()} == {REPRODUCED}
    assert (found.word, found.holds) == (OPEN, False)
    row = (records["method"] == "rigl") & (records["sparsity"] == 0.9)
    other.loc[row & (records["correction"] == "agc"), "status"] = "diverged"
    found = check_against(match_cells(study, (other, epochs)), MARGINS)
    assert [(own.rows, own.lost, own.word) for own in found.pooled] == [
        (3, 1, OPEN),
        (3, 1, OPEN),
        (4, 0, REPRODUCED),
    ]
    other["status"] = "diverged"
    found = check_against(match_cells(study, (other, epochs)), MARGINS)
    assert {(own.rows, own.lost, own.word) for own in found.pooled} == {(0, 4, OPEN)}
