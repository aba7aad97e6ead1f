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


def test_epochs_to_shares_of_plains_mean_final_accuracy(hand_made: Any) -> None:
    # Plain ends at .8 and .6, and reaches .693 in its fourth epoch and not at all: that counts with
    # all four. Corrected reaches it in the second epoch, twice.
    assert hand_made.target_99 == pytest.approx(0.693)
    assert (hand_made.plain_epochs_to_99, hand_made.corrected_epochs_to_99) == (4, 2)
    assert (hand_made.plain_reached_99, hand_made.corrected_reached_99) == (0.5, 1)
    assert hand_made.epochs_to_99_difference_mean == -2
    assert np.isnan(hand_made.epochs_to_99_difference_low), "the same in both seeds"
    # Labels swapped in seed 0, in seed 1, in both (targets .7425, .792, .8415): -1, 0, 0.
    assert hand_made.epochs_to_99_difference_null == pytest.approx((-2 - 1) / 4)
    assert hand_made.epochs_to_99_difference_p == 0.25
    assert hand_made.target_97 < hand_made.target_99 < hand_made.target_100


def test_accuracies_and_their_paired_difference(hand_made: Any) -> None:
    assert hand_made.plain_final_accuracy_mean == pytest.approx(0.65)
    assert hand_made.plain_final_accuracy_sd == pytest.approx(0.1 / np.sqrt(2))
    assert hand_made.corrected_best_accuracy_mean == pytest.approx(0.8)
    oracle = stats.ttest_rel([0.8, 0.8], [0.7, 0.6]).confidence_interval(0.95)
    assert hand_made.accuracy_difference_mean == pytest.approx(0.15)
    assert hand_made.accuracy_difference_low == pytest.approx(oracle.low)
    assert hand_made.accuracy_difference_high == pytest.approx(oracle.high)
    assert hand_made.accuracy_difference_n == 2


def test_costs_of_both_arms(hand_made: Any) -> None:
    assert (hand_made.plain_units_per_epoch, hand_made.corrected_units_per_epoch) == (3, 10)
    assert hand_made.corrected_relative_training_flops == pytest.approx(0.05 * 10 / 3)
    assert hand_made.corrected_train_seconds_mean == pytest.approx(10)
    assert hand_made.corrected_extra_tensors == 2


def test_a_target_that_is_not_reached_counts_with_all_epochs(tmp_path: Path) -> None:
    folders = [
        run(tmp_path, PLAIN, 0, [0.2, 0.6, 0.7]),
        run(tmp_path, AGC, 0, [0.5, 0.6, 0.65]),
    ]
    result = comparison(folders, tmp_path / "out")
    row = result.main.iloc[0]
    assert (row.plain_epochs_to_99, row.corrected_epochs_to_99) == (3, 3)
    assert (row.plain_reached_99, row.corrected_reached_99) == (1, 0)
    claim = result.claims.set_index("claim").loc["B 99 %"]
    assert (claim["rows"], claim.pairs, claim["mean"]) == (1, 1, 0)
    assert (claim.reached_plain, claim.reached_corrected) == (1, 0)
    assert np.isnan(claim.low), "one seed has no interval"


def test_epochs_below_the_target_sparsity_do_not_count(tmp_path: Path) -> None:
    dense_first = [0.0, 0.5, 0.95, 0.95]
    folders = [
        run(tmp_path, PLAIN, 0, [0.9, 0.8, 0.5, 0.6], reached=dense_first),
        run(tmp_path, AGC, 0, [0.9, 0.8, 0.6, 0.5], reached=dense_first),
    ]
    row = comparison(folders, tmp_path / "out").main.iloc[0]
    assert row.target_100 == pytest.approx(0.6)
    assert (row.plain_epochs_to_100, row.corrected_epochs_to_100) == (4, 3)


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
    assert row.target_100 == pytest.approx(0.65)
    assert set(result.claims["diverged"]) == {1}


def test_an_arm_that_diverged_altogether_is_still_there(tmp_path: Path) -> None:
    folders = [run(tmp_path, PLAIN, seed, [0.5, 0.6]) for seed in range(2)]
    folders += [write_cell(tmp_path, diverged=True, correction=AGC, seed=s) for s in range(2)]
    result = comparison(folders, tmp_path / "out")
    row = result.main.iloc[0]
    assert (row.corrected_seeds, row.corrected_diverged) == (2, 2)
    assert np.isnan(row.corrected_final_accuracy_mean)
    assert row.epochs_to_99_difference_n == 0
    assert list(result.claims["claim"]) == ["A"], "what else needs a pair"
    claim = result.claims.iloc[0]
    assert (claim["rows"], claim.diverged, claim.verdict) == (0, 2, "no interval")


def test_without_a_baseline_its_columns_are_empty(tmp_path: Path) -> None:
    row = comparison([run(tmp_path, AGC, 0, [0.5, 0.6])], tmp_path / "out").main.iloc[0]
    assert row.plain_seeds == 0
    assert np.isnan(row.plain_final_accuracy_mean)
    assert np.isnan(row.target_99)
    assert row.corrected_final_accuracy_mean == pytest.approx(0.6)
    assert row.accuracy_difference_n == 0


def test_a_plain_run_alone_has_its_row(tmp_path: Path) -> None:
    result = comparison([run(tmp_path, PLAIN, 0, [0.5, 0.6])], tmp_path / "out")
    row = result.main.iloc[0]
    assert row.correction == ""
    assert row.plain_final_accuracy_mean == pytest.approx(0.6)
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
    assert claim["mean"] == pytest.approx(10)
    assert (claim.up, claim.down, claim.verdict) == (0, 0, "no interval")


def test_a_correction_that_does_nothing_changes_nothing(tmp_path: Path) -> None:
    folders = []
    for seed in range(3):
        accuracy = [0.3, 0.5 + 0.05 * seed, 0.4, 0.7 - 0.02 * seed]
        folders += [run(tmp_path, correction, seed, accuracy) for correction in (PLAIN, AGC)]
    row = comparison(folders, tmp_path / "out").main.iloc[0]
    assert row.accuracy_difference_mean == 0
    assert row.epochs_to_99_difference_mean == 0
    assert row.epochs_to_levels_change_mean == 0
    assert row.budget_accuracy_difference_mean == 0


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

    key = ["dataset", "objective", "correction"]
    mine = result.main.set_index(key).loc[("digits", "standard", "agc")]
    claim = result.claims.set_index(["claim", *key]).loc[("A", "digits", "standard", "agc")]
    assert claim["rows"] == len(mine) == 5
    assert claim["mean"] == pytest.approx(100 * mine["accuracy_difference_mean"].mean())
    times = result.claims[result.claims["claim"] == "B 99 %"]
    assert len(times) == 2 * 2 * 2
    by_row = result.main.groupby(key)
    for line in times.itertuples():
        rows = by_row.get_group((line.dataset, line.objective, line.correction))
        assert line.mean == pytest.approx(rows["epochs_to_99_difference_mean"].mean())
        assert line.null_mean == pytest.approx(rows["epochs_to_99_difference_null"].mean())
        assert line.pairs == rows["epochs_to_99_difference_n"].sum()


def test_runs_of_different_lengths_are_refused(tmp_path: Path) -> None:
    lengths = ([0.5, 0.6], [0.5, 0.6, 0.7])
    folders = [
        run(tmp_path, correction, seed, values)
        for correction in (PLAIN, AGC)
        for seed, values in enumerate(lengths)
    ]
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
