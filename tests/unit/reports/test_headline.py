"""The measures of the paper's headline: on its own numbers they give its own results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agc.reports.claims import PAPER
from agc.reports.compare import Comparison, compare
from agc.reports.curves import Curve
from agc.reports.headline import BUDGETS, budget_gap, level_changes
from agc.reports.published import read_published
from agc.reports.tables.claims import untested
from agc.reports.tables.write import load_comparison, write_tables
from tests.support.records import collected, entry, write_cell


def curve(accuracy: Any, units: float = 3.0) -> Curve:
    """One run with these test accuracies, each epoch a second and ``units``."""
    values = np.asarray(accuracy, dtype=float)
    time = np.arange(1, len(values) + 1)
    every = np.ones(len(values), dtype=bool)
    return Curve(values, 1 - values, values, units * time, 1.0 * time, every)


def test_table_1_gives_what_the_paper_claims() -> None:
    table = read_published()
    rows = table[table["note"] == "Table 1"]
    rows = rows[(rows["objective"] == "standard") & (rows["sparsity"] == 0.99)]
    curves = []
    for name in ("none", "agc(variant=a-bsr)"):
        arm = rows[rows["correction"] == name]
        whole = np.zeros(200)
        whole[arm["epoch"].astype(int) - 1] = arm["mean"] / 100
        curves.append(curve(whole))
    assert [round(200 * share) for share in BUDGETS] == [20, 40, 70, 90, 140, 200]
    assert round(100 * budget_gap(*curves), 1) == PAPER["A budgets"].paper == 5.0
    last = 100 * (curves[1].test_accuracy[-1] - curves[0].test_accuracy[-1])
    assert round(last, 1) == PAPER["A"].paper == 1.3


def test_budgets_of_a_short_training_are_its_epochs() -> None:
    # 8 epochs: 1, 2, 3, 4, 6 and 8; one epoch: six times the first.
    plain, corrected = np.zeros(8), np.array([1, 2, 3, 4, 9, 6, 9, 8]) / 10
    assert budget_gap(curve(plain), curve(corrected)) == pytest.approx(0.4)
    assert budget_gap(curve([0.5]), curve([0.75])) == pytest.approx(0.25)


def test_half_the_epochs_to_every_level_are_half_the_epochs() -> None:
    plain = np.repeat(np.arange(60, 89), 4) / 100  # each level holds for four epochs
    corrected = np.concatenate([np.full(1, 0.1), np.repeat(np.arange(60, 89), 2) / 100])
    found = level_changes([curve(plain)], [curve(corrected, units=10.0)])
    # 0.60 to 0.88, as in the paper; 0.68 · 0.88 is 0.5984
    assert (found["levels"], found["levels_not_reached"]) == (29, 0)
    base, other = 4 * np.arange(29) + 1, 2 * np.arange(29) + 2
    expected = np.mean(100 * (other - base) / base)
    assert found["epochs_to_levels_change_percent"] == pytest.approx(expected)
    units = np.mean(100 * (10 * other - 3 * base) / (3 * base))
    assert found["units_to_levels_change_percent"] == pytest.approx(units)
    # The top level alone says something else than their mean.
    assert 100 * (other[-1] - base[-1]) / base[-1] < expected


def test_levels_that_are_not_reached_are_counted_and_in_no_mean() -> None:
    plain, corrected = [0.5, 0.6, 0.7, 0.8], [0.7, 0.7, 0.7, 0.7]
    found = level_changes([curve(plain)], [curve(corrected)])
    assert (found["levels"], found["levels_not_reached"]) == (80 - 54 + 1, 10)
    # Up to 0.60 in two epochs, up to 0.70 in three; in one here.
    expected = (7 * -50 + 10 * -100 * 2 / 3) / 17
    assert found["epochs_to_levels_change_percent"] == pytest.approx(expected)
    none = level_changes([curve(plain)], [curve([0.1] * 4)])
    assert none["levels_not_reached"] == none["levels"] == 27
    assert np.isnan(none["epochs_to_levels_change_percent"])
    assert level_changes([curve(plain)], [])["levels"] == 0


def grid(root: Path, corrected: list[list[float]]) -> Comparison:
    """Plain and corrected runs of two seeds."""
    plain = [[0.5, 0.6, 0.7, 0.8], [0.5, 0.6, 0.7, 0.8]]
    folders = [
        write_cell(
            root,
            correction=entry(name),
            seed=seed,
            columns={"validation_accuracy": values, "test_accuracy": values},
        )
        for name, arm in (("none", plain), ("agc", corrected))
        for seed, values in enumerate(arm)
    ]
    return compare(*collected(folders, root / "out"))


def test_each_claim_stands_in_its_own_measure_and_at_the_end(tmp_path: Path) -> None:
    fast = [[0.7, 0.8, 0.8, 0.8], [0.72, 0.82, 0.8, 0.8]]
    claims = grid(tmp_path, fast).claims.set_index("claim")
    assert list(claims.index) == ["A", "A budgets", "A robust", "B", "B levels"]
    assert claims.loc["A", "epochs_mean"] == pytest.approx(0, abs=1e-9)
    # Epochs 1, 1, 1, 2, 3 and 4 of 4.
    expected = 100 * np.mean([0.21, 0.21, 0.21, 0.21, 0.1, 0])
    assert claims.loc["A budgets", "epochs_mean"] == pytest.approx(expected)
    assert claims.loc["B", "epochs_mean"] == -50
    assert claims.loc["B levels", "not_reached"] == 0
    assert claims.loc["B levels", "epochs_mean"] < -50
    assert claims.loc["B levels", "units_mean"] > 0
    papers = {name: claim.paper for name, claim in PAPER.items()}
    assert papers["A budgets"] == 5.0
    assert papers["B levels"] == -52.1
    assert all(claims.loc[["A", "A budgets", "B", "B levels"], "source"].str.contains("PMLR 234"))


def test_a_row_that_reaches_no_level_is_the_worst(tmp_path: Path) -> None:
    claims = grid(tmp_path, [[0.1] * 4, [0.1] * 4]).claims.set_index("claim")
    levels = claims.loc["B levels"]
    assert (levels.rows, levels.not_reached, levels.epochs_losses) == (1, 1, 1)
    assert np.isnan(levels.epochs_mean)
    assert levels.epochs_worst_row == "rigl 95 %"


LAST = {"epsilon": 8 / 255, "step_size": 2 / 255, "steps": 20, "test": "last"}


def measured_last(root: Path, best: list[int]) -> list[Path]:
    """Plain and corrected runs of as many seeds with the test accuracy of the last epoch, and of
    one that is the best on validation.
    """
    folders = []
    for name in ("none", "agc"):
        for seed, epoch in enumerate(best):
            validation, test = np.full(4, 0.5), np.full(4, np.nan)
            validation[epoch], test[epoch], test[-1] = 0.9, 0.8, 0.7
            columns = {"validation_accuracy": validation, "test_accuracy": test, "test_loss": test}
            folders.append(
                write_cell(
                    root, correction=entry(name), seed=seed, columns=columns, evaluation=LAST
                )
            )
    return folders


@pytest.mark.parametrize("accuracy", [[0.6, np.nan, np.nan, 0.8], [np.nan, np.nan, np.nan, 0.8]])
def test_what_was_not_measured_after_every_epoch_has_no_headline(accuracy: list[float]) -> None:
    whole, part = curve([0.5, 0.6, 0.7, 0.8]), curve(accuracy)
    for arms in ((whole, part), (part, whole), (part, part)):
        assert np.isnan(budget_gap(*arms))
        found = level_changes([arms[0]], [arms[1]])
        assert found["levels"] == found["levels_not_reached"] == 0
        assert np.isnan(found["epochs_to_levels_change_percent"])


def test_a_study_of_such_runs_has_the_rest_and_says_what_it_lacks(tmp_path: Path) -> None:
    result = compare(*collected(measured_last(tmp_path, [0, 1, 3]), tmp_path / "out"))
    row = result.main.iloc[0]
    assert row.runs_without_test_course == 6
    assert row.accuracy_difference_mean == pytest.approx(0)
    assert row.corrected_best_accuracy_mean == pytest.approx((0.8 + 0.8 + 0.7) / 3)
    assert row.accuracy_crossing == "reached"
    # One seed's best of the epochs that are paid for is known, which is no reason to count it.
    assert row.matched_epochs < 4
    assert row.matched_accuracy_difference_n == 0
    assert list(result.claims["claim"]) == ["A", "A robust", "B"]
    write_tables(result, tmp_path / "report", {})
    text = (tmp_path / "report" / "tables" / "claims.md").read_text()
    assert "need evaluation.test: every-epoch" in text
    read = load_comparison(tmp_path / "report")
    assert read.main["runs_without_test_course"].tolist() == [6]


def test_a_study_of_other_runs_has_no_word_of_it(tmp_path: Path) -> None:
    result = grid(tmp_path, [[0.7, 0.8, 0.8, 0.8]] * 2)
    assert "runs_without_test_course" not in result.main
    assert untested(result.main) == []


def test_the_whole_run_s_best_is_known(tmp_path: Path) -> None:
    part = curve([0.6, np.nan, np.nan, 0.8])
    assert part.best_within(12.0) == (4, 0.8)
    assert np.isnan(part.best_within(9.0)[1])
