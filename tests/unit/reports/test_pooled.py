"""Pooled estimates of made-up grids against the functions that they are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from agc.grids.files import Margin
from agc.reports.pooled import COLUMNS, SENSITIVITY, pooled
from agc.reports.pooling import pool
from agc.reports.verdict import EQUIVALENT, NO_FINDING, NO_INTERVAL, RELEVANT_GAIN, RELEVANT_HARM
from tests.support.records import collected, entry, write_cell, write_grid

NUMBERS = [name for name in COLUMNS[3:] if name not in ("verdict", "sentence")]


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    root = tmp_path_factory.mktemp("grid")
    records, _ = collected(write_grid(root / "cells"), root)
    return records, pooled(records)


def final(root: Path, accuracy: float, correction: str = "none", **rest: Any) -> Path:
    """A run of three epochs, of which the last test accuracy is given."""
    curve = np.array([0.2, 0.3, accuracy])
    columns = {"validation_accuracy": curve, "test_accuracy": curve}
    return write_cell(root, columns=columns, correction=entry(correction), **rest)


def pairs(root: Path, differences: list[list[float]], correction: str = "agc") -> list[Path]:
    """A row for each list, of another sparsity, with a pair for each difference."""
    folders = []
    for row, values in enumerate(differences):
        for seed, value in enumerate(values):
            cell = {"seed": seed, "sparsity": 0.5 + 0.1 * row}
            folders.append(final(root, 0.5, **cell))
            folders.append(final(root, 0.5 + value, correction, **cell))
    return folders


def alone(root: Path, folders: list[Path], margin: Margin | None = None) -> Any:
    records, _ = collected(folders, root / "out")
    (line,) = pooled(records, margin or Margin()).itertuples()
    return line


def test_a_line_for_each_task_correction_and_measure(grid: Any) -> None:
    _, found = grid
    keys = found[["dataset", "objective", "measure", "budget", "correction"]]
    expected = [
        (data, objective, measure, "epochs", correction)
        for data in ("digits", "olivetti")
        for objective in ("pgd-at(steps=10)", "standard")
        for measure in ("accuracy", "robust")
        for correction in ("agc", "svrg")
        if measure == "accuracy" or objective != "standard"
    ]
    got = [(a, b.partition("(")[0], c, d, e) for a, b, c, d, e in keys.itertuples(index=False)]
    assert got == [(a, b.partition("(")[0], c, d, e) for a, b, c, d, e in expected]
    assert [name for name in found.columns[-len(COLUMNS) - 1 :] if name != SENSITIVITY] == COLUMNS


def test_numbers_are_those_of_the_pool_in_points(grid: Any) -> None:
    records, found = grid
    one = records[(records["dataset"] == "digits") & (records["objective"] == "standard")]
    line = found[(found["dataset"] == "digits") & (found["objective"] == "standard")].iloc[1]
    wide = one.pivot_table(
        index=["method", "sparsity"], columns=["correction", "seed"], values="final_test_accuracy"
    )
    differences = wide["svrg"] - wide["none"]
    rows = differences.to_numpy()
    want = pool(rows, 0.01, list(differences.index.get_level_values("sparsity")))
    assert line.correction == "svrg"
    # One run of each of the two sparsest rows diverged: it has no pair, and is counted.
    assert (line.rows, line.pairs, line.diverged) == (5, 13, 2) == (want.k, want.n, 2)
    for name, value in {
        **{key: getattr(want, key) for key in ("mean", "low", "high", "low90", "high90")},
        **{key: getattr(want, key) for key in ("attained", "tau", "pred_low", "pred_high")},
        "detectable": want.mde,
    }.items():
        assert line[name] == pytest.approx(100 * value, nan_ok=True), name
    assert (line["p"], line["tost_p"]) == pytest.approx((want.p, want.tost_p))
    assert line.margin == 1


def test_holm_is_over_the_corrections_of_a_task_and_measure(grid: Any) -> None:
    _, found = grid
    # The made-up robust accuracies of svrg are those of the plain runs: no p, no member.
    robust = found[found["measure"] == "robust"]
    assert robust["p_holm"].equals(robust["p"])
    clean = found[found["measure"] == "accuracy"]
    for _, family in clean.groupby(["dataset", "objective", "budget"]):
        small, large = sorted(family["p"])
        got = sorted(family["p_holm"])
        assert got == pytest.approx([min(1, 2 * small), min(1, max(2 * small, large))])


@pytest.mark.parametrize(
    ("differences", "margin", "word"),
    [
        ([[0.001, -0.001, 0.002], [0.0, -0.002, 0.001]], 1.0, EQUIVALENT),
        ([[0.001, -0.001, 0.002], [0.0, -0.002, 0.001]], 0.05, NO_FINDING),
        ([[0.05, 0.051, 0.049], [0.04, 0.043, 0.041]], 1.0, RELEVANT_GAIN),
        ([[-0.05, -0.051, -0.049], [-0.04, -0.043, -0.041]], 1.0, RELEVANT_HARM),
    ],
)
def test_the_margin_decides_the_word(
    tmp_path: Path, differences: list[list[float]], margin: float, word: str
) -> None:
    line = alone(tmp_path, pairs(tmp_path, differences), Margin(accuracy=margin, robust=7))
    assert line.verdict == word
    assert line.sentence.startswith(word)
    assert line.margin == margin
    clear = 2 * (word in (RELEVANT_GAIN, RELEVANT_HARM))
    assert (line.up, line.down) == ((0, clear) if word == RELEVANT_HARM else (clear, 0))


def test_robust_accuracy_has_its_own_margin(grid: Any) -> None:
    records, _ = grid
    found = pooled(records, Margin(accuracy=0.5, robust=3))
    assert found.groupby("measure")["margin"].unique().map(list).to_dict() == {
        "accuracy": [0.5],
        "robust": [3],
    }


def test_the_best_by_chance_of_equal_rows(tmp_path: Path) -> None:
    line = alone(tmp_path, pairs(tmp_path, [[0.0, 0.02], [0.01, 0.03]]))
    # Each row has sd √2 points and two pairs, so a standard error of one; of two, 1 / √π.
    assert line.null_best == pytest.approx(1 / np.sqrt(np.pi))


def test_recipes_are_rows_of_one_task(tmp_path: Path) -> None:
    folders = []
    for lr, gain in ((0.1, 0.01), (0.3, 0.03)):
        training = {"epochs": 3, "batch_size": 128, "optimizer": {"name": "sgd", "lr": lr}}
        for seed in (0, 1):
            folders.append(final(tmp_path, 0.5, seed=seed, training=training))
            value = 0.5 + gain + 0.001 * seed
            folders.append(final(tmp_path, value, "agc", seed=seed, training=training))
    line = alone(tmp_path, folders)
    assert (line.rows, line.pairs) == (2, 4)
    assert line.mean == pytest.approx(2.05)


def test_equal_units_are_the_planned_runs(tmp_path: Path) -> None:
    def training(epochs: int) -> dict[str, Any]:
        return {"epochs": epochs, "batch_size": 128, "optimizer": {"name": "sgd", "lr": 0.1}}

    folders = []
    for seed, gain in enumerate((0.0, 0.01, 0.02)):
        folders.append(final(tmp_path, 0.5, seed=seed, training=training(3)))
        folders.append(final(tmp_path, 0.6, "agc", seed=seed, training=training(3)))
        long = {"validation_accuracy": np.full(10, 0.7 + gain)}
        long["test_accuracy"] = long["validation_accuracy"]
        folders.append(write_cell(tmp_path, columns=long, seed=seed, training=training(10)))
    records, _ = collected(folders, tmp_path / "out")
    own, planned = pooled(records).itertuples()
    assert (own.budget, planned.budget) == ("epochs", "planned")
    assert own.mean == pytest.approx(10)
    assert own.verdict == NO_INTERVAL  # the same gain in all seeds tells no spread
    oracle = stats.ttest_1samp([-10, -11, -12], 0).confidence_interval(0.95)
    assert (planned.mean, planned.low, planned.high) == pytest.approx((-11, *oracle))


def test_a_correction_that_always_diverges_is_said(tmp_path: Path) -> None:
    folders = [write_cell(tmp_path, seed=seed) for seed in (0, 1)]
    folders += [
        write_cell(tmp_path, diverged=True, correction=entry("svrg"), seed=seed) for seed in (0, 1)
    ]
    line = alone(tmp_path, folders)
    assert (line.rows, line.pairs, line.diverged) == (0, 0, 2)
    assert line.sentence == "no interval: no estimate"


def test_diverged_runs_count_at_chance_beside_their_absence(tmp_path: Path) -> None:
    folders = [final(tmp_path, 0.5, seed=seed) for seed in range(3)]
    folders += [final(tmp_path, 0.54 + 0.01 * seed, "agc", seed=seed) for seed in range(2)]
    folders.append(write_cell(tmp_path, diverged=True, correction=entry("agc"), seed=2))
    folders += [final(tmp_path, 0.5 + 0.01 * seed, "svrg", seed=seed) for seed in range(3)]
    records, _ = collected(folders, tmp_path / "out")
    found = pooled(records).set_index("correction")
    # Digits has ten classes.
    assert found.loc["agc", "mean"] == pytest.approx(4.5)
    assert found.loc["agc", SENSITIVITY] == pytest.approx(100 * (0.04 + 0.05 + 0.1 - 0.5) / 3)
    assert np.isnan(found.loc["svrg", SENSITIVITY])
    unknown = pooled(records.assign(dataset="of-a-plugin")).set_index("correction")
    assert unknown[SENSITIVITY].isna().all()
    assert SENSITIVITY not in pooled(records[records["status"] == "finished"])


def test_a_diverged_run_has_its_planned_counterpart(tmp_path: Path) -> None:
    def training(epochs: int) -> dict[str, Any]:
        return {"epochs": epochs, "batch_size": 128, "optimizer": {"name": "sgd", "lr": 0.1}}

    long = {name: np.full(10, 0.7) for name in ("validation_accuracy", "test_accuracy")}
    folders = [final(tmp_path, 0.6, "agc", seed=0, training=training(3))]
    folders += [
        write_cell(tmp_path, columns=long, seed=seed, training=training(10)) for seed in (0, 1)
    ]
    cell = {"correction": entry("agc"), "seed": 1, "training": training(3)}
    folders.append(write_cell(tmp_path, diverged=True, **cell))
    found = pooled(collected(folders, tmp_path / "out")[0]).set_index("budget")
    assert found.loc["planned", SENSITIVITY] == pytest.approx(100 * (-0.1 - 0.6) / 2)


def test_plain_runs_alone_have_no_line(tmp_path: Path) -> None:
    found = pooled(collected([write_cell(tmp_path)], tmp_path / "out")[0])
    assert not len(found)
    assert set(COLUMNS) <= set(found)


def test_every_number_is_a_number(grid: Any) -> None:
    _, found = grid
    assert all(np.issubdtype(found[name].dtype, np.number) for name in NUMBERS)
    known = found[found["verdict"] != NO_INTERVAL]
    assert len(known) == 10
    assert not known[NUMBERS].isna().any(axis=None)


@pytest.mark.filterwarnings("error")
def test_rows_of_one_mean_warn_of_nothing(tmp_path: Path) -> None:
    line = alone(tmp_path, pairs(tmp_path, [[-0.01, 0.01], [-0.02, 0.02], [0.03, -0.03]]))
    assert (line.mean, line.tau) == (0, 0)
