"""Interquartile mean and probability of improvement against scipy and counting."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from agc.reports.aggregates import iqm, probability_of_improvement


def test_interquartile_mean_is_scipys_over_all_runs() -> None:
    scores = np.random.default_rng(0).normal(size=(4, 6))
    got = iqm(scores)
    assert got.value == pytest.approx(stats.trim_mean(scores, 0.25, axis=None))
    assert (got.tasks, got.runs) == (4, 24)
    assert got.low < got.value < got.high
    assert got == iqm(scores)
    assert got != iqm(scores, seed=1)


def test_interquartile_mean_ignores_one_wild_run() -> None:
    assert iqm([[1.0, 2.0], [3.0, 100.0, np.nan]]).value == 2.5


def test_runs_are_drawn_within_their_task() -> None:
    """Tasks that differ, and runs of a task that do not, leave nothing to be drawn."""
    got = iqm([[1.0, 1.0], [5.0, 5.0], [9.0, 9.0]])
    assert got.low == got.value == got.high


def test_improvement_is_mann_and_whitneys_u() -> None:
    rng = np.random.default_rng(0)
    first = [rng.integers(0, 5, n).astype(float) for n in (4, 7)]
    second = [rng.integers(0, 5, n).astype(float) for n in (5, 3)]
    shares = [
        stats.mannwhitneyu(one, other).statistic / len(one) / len(other)
        for one, other in zip(first, second, strict=True)
    ]
    got = probability_of_improvement(first, second)
    assert got.value == pytest.approx(np.mean(shares))
    assert 0 <= got.low <= got.value <= got.high <= 1
    assert (got.tasks, got.runs) == (2, 19)


def test_improvement_counts_ties_one_half_and_the_other_side_the_rest() -> None:
    assert probability_of_improvement([[1.0, 1.0]], [[1.0]]).value == 0.5
    assert probability_of_improvement([[2.0, 3.0]], [[1.0, 1.0]])[:3] == (1, 1, 1)
    assert probability_of_improvement([[1.0, 2.0]], [[3.0]]).value == 0


def test_a_task_without_runs_on_one_side_is_left_out() -> None:
    got = probability_of_improvement([[2.0], [np.nan]], [[1.0], [1.0]])
    assert got[0::3] == (1.0, 1)
    assert np.isnan(got.low)  # Nothing to draw from single runs.
    assert np.isnan(iqm([]).value)
    with pytest.raises(ValueError, match="1 and 2 tasks"):
        probability_of_improvement([[1.0]], [[1.0], [1.0]])


@pytest.mark.slow
def test_simulated_coverage_of_the_interquartile_mean() -> None:
    """The percentile bootstrap of few runs is too narrow; with ten tasks it does well enough."""
    rng = np.random.default_rng(0)
    found = [iqm(rng.normal(size=(10, 5)), seed=i, draws=400) for i in range(500)]
    covered = np.mean([one.low <= 0 <= one.high for one in found])
    print(f"interquartile mean of 10 tasks × 5 runs: covered {covered:.3f}")
    assert covered >= 0.88
