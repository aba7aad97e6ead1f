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
