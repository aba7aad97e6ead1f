"""The comparison against numbers worked out by hand and with scipy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from agc.errors import UserError
from agc.reports.compare import Comparison, compare
from tests.support.records import collected, entry, write_cell, write_grid

AGC = entry("agc", gamma=0.1)
PLAIN = entry("none")


def comparison(folders: list[Path], out: Path) -> Comparison:
    return compare(*collected(folders, out))


def run(root: Path, correction: dict[str, Any], seed: int, accuracy: Any, **rest: Any) -> Path:
    """A run of which every curve is given; the test accuracy is the validation accuracy."""
    columns = {
        "validation_accuracy": np.array(accuracy),
        "test_accuracy": np.array(rest.pop("test", accuracy)),
        "train_loss": np.array(rest.pop("loss", 1 - np.array(accuracy))),
    }
    if "reached" in rest:
        columns["sparsity"] = np.array(rest.pop("reached"))
    return write_cell(root, columns=columns, correction=correction, seed=seed, **rest)


@pytest.fixture
def hand_made(tmp_path: Path) -> Any:
    """Two seeds, four epochs: 3 units an epoch for the plain run, 10 for the corrected."""
    folders = [
        run(tmp_path, PLAIN, 0, [0.2, 0.6, 0.1, 0.8], test=[0.1, 0.5, 0.1, 0.7]),
        run(tmp_path, PLAIN, 1, [0.4, 0.0, 0.5, 0.6], loss=[1.0, 0.9, 0.8, 0.9]),
        run(tmp_path, AGC, 0, [0.5, 0.7, 0.6, 0.9], test=[0.45, 0.7, 0.6, 0.8]),
        run(tmp_path, AGC, 1, [0.3, 0.75, 0.2, 0.8], loss=[1.0, 0.9, 0.8, 0.7]),
    ]
    return comparison(folders, tmp_path / "out").main.iloc[0]


def test_crossing_of_the_accuracy(hand_made: Any) -> None:
    # Means of the running bests: plain .3 .5 .55 .7, corrected .4 .725 .725 .85.
    assert hand_made.accuracy_target == pytest.approx(0.7)
    assert hand_made.accuracy_crossing == "reached"
    assert (hand_made.plain_epochs_to_accuracy, hand_made.corrected_epochs_to_accuracy) == (4, 2)
    assert (hand_made.plain_units_to_accuracy, hand_made.corrected_units_to_accuracy) == (12, 20)
    assert hand_made.corrected_seconds_to_accuracy == pytest.approx(5)
    assert hand_made.epochs_to_accuracy_change_percent == pytest.approx(-50)
    assert hand_made.units_to_accuracy_change_percent == pytest.approx(100 * 8 / 12)
    assert hand_made.seconds_to_accuracy_change_percent == pytest.approx(100 * 8 / 12)


def test_crossing_of_the_loss(hand_made: Any) -> None:
    # Running minima: plain .8 .4 .4 .2 and 1 .9 .8 .8, their mean ends at .5;
    # corrected .5 .3 .3 .1 and 1 .9 .8 .7, their mean .75 .6 .55 .4.
    assert hand_made.loss_target == pytest.approx(0.5)
    assert (hand_made.plain_epochs_to_loss, hand_made.corrected_epochs_to_loss) == (4, 4)
    assert hand_made.epochs_to_loss_change_percent == 0
    assert hand_made.units_to_loss_change_percent == pytest.approx(100 * 28 / 12)


def test_accuracies_and_their_paired_difference(hand_made: Any) -> None:
    assert hand_made.plain_final_accuracy_mean == pytest.approx(0.65)
    assert hand_made.plain_final_accuracy_sd == pytest.approx(0.1 / np.sqrt(2))
    assert hand_made.corrected_best_accuracy_mean == pytest.approx(0.8)
    oracle = stats.ttest_rel([0.8, 0.8], [0.7, 0.6]).confidence_interval(0.95)
    assert hand_made.accuracy_difference_mean == pytest.approx(0.15)
    assert hand_made.accuracy_difference_low == pytest.approx(oracle.low)
    assert hand_made.accuracy_difference_high == pytest.approx(oracle.high)
    assert hand_made.accuracy_difference_n == 2


def test_accuracy_at_equal_units(hand_made: Any) -> None:
    # The plain run's 12 units pay for one corrected epoch of 10.
    assert hand_made.matched_epochs == 1
    assert hand_made.matched_accuracy_difference_mean == pytest.approx(
        np.mean([0.45 - 0.7, 0.3 - 0.6])
    )


def test_costs_of_both_arms(hand_made: Any) -> None:
    assert (hand_made.plain_units_per_epoch, hand_made.corrected_units_per_epoch) == (3, 10)
    assert hand_made.corrected_relative_training_flops == pytest.approx(0.05 * 10 / 3)
    assert hand_made.corrected_train_seconds_mean == pytest.approx(10)
    assert hand_made.corrected_extra_tensors == 2


def test_a_target_that_is_not_reached_is_a_result(tmp_path: Path) -> None:
    folders = [
        run(tmp_path, PLAIN, 0, [0.2, 0.6, 0.7]),
        run(tmp_path, AGC, 0, [0.5, 0.6, 0.65]),
    ]
    result = comparison(folders, tmp_path / "out")
    row = result.main.iloc[0]
    assert row.accuracy_crossing == "not reached"
    assert np.isnan(row.corrected_epochs_to_accuracy)
    assert np.isnan(row.units_to_accuracy_change_percent)
    assert row.plain_epochs_to_accuracy == 3
    claim = result.claims.set_index("claim").loc["B"]
    assert (claim.rows, claim.not_reached, claim.epochs_wins, claim.epochs_losses) == (1, 1, 0, 1)
    assert np.isnan(claim.epochs_mean)
    assert claim.epochs_worst_row == "rigl 95 %"


def test_epochs_below_the_target_sparsity_do_not_count(tmp_path: Path) -> None:
    dense_first = [0.0, 0.5, 0.95, 0.95]
    folders = [
        run(tmp_path, PLAIN, 0, [0.9, 0.8, 0.5, 0.6], reached=dense_first),
        run(tmp_path, AGC, 0, [0.9, 0.8, 0.6, 0.5], reached=dense_first),
    ]
    row = comparison(folders, tmp_path / "out").main.iloc[0]
    assert row.accuracy_target == pytest.approx(0.6)
    assert (row.plain_epochs_to_accuracy, row.corrected_epochs_to_accuracy) == (4, 3)
    # 12 units pay for one epoch, and that one does not count.
    assert row.matched_accuracy_difference_n == 0


def test_a_diverged_seed_counts_as_diverged_and_leaves_the_means(tmp_path: Path) -> None:
    folders = [run(tmp_path, PLAIN, seed, [0.5, 0.6 + 0.1 * seed]) for seed in range(3)]
    folders += [run(tmp_path, AGC, seed, [0.5, 0.65 + 0.1 * seed]) for seed in range(2)]
    folders.append(write_cell(tmp_path, diverged=True, correction=AGC, seed=2))
    result = comparison(folders, tmp_path / "out")
    row = result.main.iloc[0]
    assert (row.corrected_seeds, row.corrected_diverged) == (3, 1)
    assert (row.plain_final_accuracy_n, row.corrected_final_accuracy_n) == (3, 2)
    assert row.corrected_final_accuracy_mean == pytest.approx(0.7)
    assert row.accuracy_difference_mean == pytest.approx(0.05)
    # Seeds 0 and 1 alone: the third has no pair.
    assert row.accuracy_target == pytest.approx(0.65)
    assert set(result.claims["diverged"]) == {1}


def test_an_arm_that_diverged_altogether_is_still_there(tmp_path: Path) -> None:
    folders = [run(tmp_path, PLAIN, seed, [0.5, 0.6]) for seed in range(2)]
    folders += [write_cell(tmp_path, diverged=True, correction=AGC, seed=s) for s in range(2)]
    result = comparison(folders, tmp_path / "out")
    row = result.main.iloc[0]
    assert (row.corrected_seeds, row.corrected_diverged) == (2, 2)
    assert np.isnan(row.corrected_final_accuracy_mean)
    assert row.accuracy_crossing == ""
    claim = result.claims.set_index("claim").loc["A"]
    assert (claim.rows, claim.diverged) == (0, 2)


def test_without_a_baseline_its_columns_are_empty(tmp_path: Path) -> None:
    row = comparison([run(tmp_path, AGC, 0, [0.5, 0.6])], tmp_path / "out").main.iloc[0]
    assert row.plain_seeds == 0
    assert np.isnan(row.plain_final_accuracy_mean)
    assert np.isnan(row.accuracy_target)
    assert row.corrected_final_accuracy_mean == pytest.approx(0.6)
    assert row.accuracy_difference_n == 0
    assert row.accuracy_crossing == ""


def test_a_plain_run_alone_has_its_row(tmp_path: Path) -> None:
    result = comparison([run(tmp_path, PLAIN, 0, [0.5, 0.6])], tmp_path / "out")
    row = result.main.iloc[0]
    assert row.correction == ""
    assert row.plain_final_accuracy_mean == pytest.approx(0.6)
    assert row.plain_epochs_to_accuracy == 2
    assert row.corrected_seeds == 0
    assert result.claims.empty


def test_one_seed_has_neither_deviation_nor_interval(tmp_path: Path) -> None:
    folders = [run(tmp_path, PLAIN, 0, [0.5, 0.6]), run(tmp_path, AGC, 0, [0.5, 0.7])]
    result = comparison(folders, tmp_path / "out")
    row = result.main.iloc[0]
    assert row.plain_final_accuracy_n == 1
    assert np.isnan(row.plain_final_accuracy_sd)
    assert np.isnan(row.accuracy_difference_low)
    claim = result.claims.set_index("claim").loc["A"]
    assert claim.epochs_mean == pytest.approx(10)
    assert (claim.epochs_wins, claim.epochs_losses) == (0, 0)


def test_a_correction_that_does_nothing_changes_nothing(tmp_path: Path) -> None:
    folders = []
    for seed in range(3):
        accuracy = [0.3, 0.5 + 0.05 * seed, 0.4, 0.7 - 0.02 * seed]
        folders += [run(tmp_path, correction, seed, accuracy) for correction in (PLAIN, AGC)]
    row = comparison(folders, tmp_path / "out").main.iloc[0]
    assert row.accuracy_difference_mean == 0
    assert row.epochs_to_accuracy_change_percent == 0
    assert row.epochs_to_loss_change_percent == 0


def test_recipes_are_never_mixed(tmp_path: Path) -> None:
    slow = {"epochs": 2, "optimizer": {"lr": 0.1}}
    fast = {"epochs": 2, "optimizer": {"lr": 0.2}}
    folders = [
        run(tmp_path, PLAIN, 0, [0.5, 0.6], training=slow),
        run(tmp_path, AGC, 0, [0.5, 0.7], training=slow),
        run(tmp_path, AGC, 0, [0.5, 0.9], training=fast),
    ]
    main = comparison(folders, tmp_path / "out").main.set_index("recipe")
    assert main.loc["optimizer.lr=0.1", "accuracy_difference_mean"] == pytest.approx(0.1)
    assert main.loc["optimizer.lr=0.2", "plain_seeds"] == 0


def test_a_whole_grid_has_one_row_for_each_combination(tmp_path: Path) -> None:
    records, epochs = collected(write_grid(tmp_path / "cells"), tmp_path)
    result = compare(records, epochs)
    key = ["dataset", "objective", "method", "sparsity", "correction"]
    assert len(result.main) == 2 * 2 * 5 * 2
    assert not result.main.duplicated(key).any()

    wanted = {"dataset": "digits", "objective": "pgd-at", "method": "set", "sparsity": 0.9}
    cells = records[(records[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    by_seed = cells.pivot(index="seed", columns="correction", values="final_robust_accuracy")
    row = result.main.set_index(key).loc[(*list(wanted.values()), "agc")]
    oracle = stats.ttest_rel(by_seed["agc"], by_seed["none"]).confidence_interval(0.95)
    assert row.robust_difference_mean == pytest.approx((by_seed["agc"] - by_seed["none"]).mean())
    assert (row.robust_difference_low, row.robust_difference_high) == pytest.approx(tuple(oracle))

    claim = result.claims.set_index(["claim", "objective", "correction"]).loc[
        ("A", "standard", "agc")
    ]
    mine = result.main[
        (result.main["objective"] == "standard") & (result.main["correction"] == "agc")
    ]
    assert claim.rows == len(mine) == 10
    assert claim.epochs_mean == pytest.approx(100 * mine["accuracy_difference_mean"].mean())
    assert claim.epochs_best == pytest.approx(100 * mine["accuracy_difference_mean"].max())
    best = mine.loc[mine["accuracy_difference_mean"].idxmax()]
    assert claim.epochs_best_row.startswith(f"{best.dataset} {best.method}")
    assert claim.epochs_wins == (mine["accuracy_difference_low"] > 0).sum()
    assert claim.units_losses == (mine["matched_accuracy_difference_high"] < 0).sum()
    assert claim.units_mean < claim.epochs_mean


def test_runs_of_different_lengths_are_refused(tmp_path: Path) -> None:
    folders = [run(tmp_path, PLAIN, 0, [0.5, 0.6]), run(tmp_path, PLAIN, 1, [0.5, 0.6, 0.7])]
    with pytest.raises(UserError, match="2 and 3 epochs"):
        comparison(folders, tmp_path / "out")


def test_plain_runs_with_more_epochs_stand_for_equal_units(tmp_path: Path) -> None:
    def training(epochs: int, lr: float = 0.1) -> dict[str, Any]:
        return {"epochs": epochs, "batch_size": 128, "optimizer": {"name": "sgd", "lr": lr}}

    short, long = [0.5, 0.6, 0.7], [0.5] * 9
    folders = [
        *(run(tmp_path, PLAIN, seed, short, training=training(3)) for seed in (0, 1)),
        *(run(tmp_path, AGC, seed, short, training=training(3)) for seed in (0, 1)),
        run(tmp_path, PLAIN, 0, [*long, 0.8], training=training(10)),
        run(tmp_path, PLAIN, 1, [*long, 0.9], training=training(10)),
        # Neither other settings nor other costs may stand in.
        run(tmp_path, PLAIN, 0, [*long, 0.1], training=training(10, lr=0.5)),
        run(tmp_path, PLAIN, 0, [*long, 0.2, 0.2], training=training(11)),
    ]
    main = comparison(folders, tmp_path / "out").main
    row = main[main["correction"] == "agc"].iloc[0]
    assert row.planned_epochs == 10
    assert row.planned_accuracy_mean == pytest.approx(0.85)
    assert row.planned_accuracy_difference_mean == pytest.approx(-0.15)
    oracle = stats.ttest_rel([0.7, 0.7], [0.8, 0.9]).confidence_interval(0.95)
    assert row.planned_accuracy_difference_low == pytest.approx(oracle.low)
    others = main[main["correction"] != "agc"]
    assert others["planned_accuracy_difference_n"].eq(0).all()
