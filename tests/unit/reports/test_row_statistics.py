"""Columns of single rows against scipy, and against the rows that share their spread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from agc.grids.files import Margin
from agc.reports.compare import main_table
from agc.reports.pooled import pooled
from agc.reports.rows import row_intervals
from agc.reports.verdict import NO_FINDING, RELEVANT_GAIN
from tests.support.records import collected, entry, write_cell, write_grid

PAIRS = {("rigl", 0.9): [0.05, 0.052, 0.048], ("set", 0.9): [0.0, 0.03, -0.02]}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two rows of one sparsity: the records, and the columns by method."""
    root = tmp_path_factory.mktemp("rows")
    folders = []
    for (method, sparsity), differences in PAIRS.items():
        for seed, difference in enumerate(differences):
            for name, value in (("none", 0.6), ("agc", 0.6 + difference)):
                curve = np.array([0.2, value])
                columns = {"validation_accuracy": curve, "test_accuracy": curve}
                cell = {"method": entry(method), "sparsity": sparsity, "seed": seed}
                folders.append(write_cell(root, columns=columns, correction=entry(name), **cell))
    records, epochs = collected(folders, root / "out")
    records["provenance_cpu_capability"] = ["AVX2", *["AVX512"] * (len(records) - 1)]
    return records, main_table(records, epochs, Margin(accuracy=2.0)).set_index("method")


def test_a_rows_own_numbers_are_scipys(rows: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    for (method, _), differences in PAIRS.items():
        row = rows[1].loc[method]
        oracle = stats.ttest_1samp(differences, 0)
        assert row.accuracy_difference_p == pytest.approx(oracle.pvalue)
        assert row.accuracy_difference_df == oracle.df == 2
        assert row.accuracy_difference_sd == pytest.approx(np.std(differences, ddof=1))
        inner = oracle.confidence_interval(0.9)
        got = row.accuracy_difference_low90, row.accuracy_difference_high90
        assert got == pytest.approx(tuple(inner))
        assert row.headroom == pytest.approx(0.4)


def test_what_is_judged_has_the_spread_of_all_rows_alike(
    rows: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    main = rows[1]
    shared = row_intervals(list(PAIRS.values()))
    adjusted = stats.false_discovery_control([one.p for one in shared])
    for (method, _), want, p in zip(PAIRS, shared, adjusted, strict=True):
        row = main.loc[method]
        got = row.accuracy_difference_low_pooled, row.accuracy_difference_high_pooled
        assert got == pytest.approx((want.low, want.high))
        assert row.accuracy_difference_p_pooled == pytest.approx(want.p)
        assert row.accuracy_difference_p_bh == pytest.approx(p)
        assert row.accuracy_difference_mde80 == pytest.approx(want.mde)
        half = stats.t.ppf(0.95, want.df) * want.se
        assert row.accuracy_difference_attained == pytest.approx(abs(want.mean) + half)
        assert row.accuracy_difference_high90_pooled == pytest.approx(want.mean + half)
    # Three pairs that agree by chance are not taken for a precise row.
    own = main["accuracy_difference_high"] - main["accuracy_difference_low"]
    wide = main["accuracy_difference_high_pooled"] - main["accuracy_difference_low_pooled"]
    assert own["rigl"] < 0.2 * wide["rigl"]
    assert list(main["accuracy_difference_verdict"]) == [RELEVANT_GAIN, NO_FINDING]


def test_the_instruction_sets_are_those_of_the_rows_cells(
    rows: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    assert set(rows[1]["cpu_capability"]) == {"AVX2 and AVX512", "AVX512"}


def test_rows_up_and_down_are_those_that_the_pool_counts(tmp_path: Path) -> None:
    records, epochs = collected(write_grid(tmp_path / "cells"), tmp_path)
    main = main_table(records, epochs)
    for line in pooled(records).itertuples():
        keys = ["dataset", "objective", "correction"]
        own = main[(main[keys] == [getattr(line, key) for key in keys]).all(axis=1)]
        clear = own[f"{line.measure}_difference_p_bh"] < 0.05
        signs = np.sign(own[f"{line.measure}_difference_mean"])
        assert (int((clear & (signs > 0)).sum()), int((clear & (signs < 0)).sum())) == (
            line.up,
            line.down,
        )
    standard = main["objective"] == "standard"
    assert set(main.loc[standard, "robust_difference_verdict"]) == {""}
    assert "" not in set(main.loc[~standard, "robust_difference_verdict"])
    assert "cpu_capability" not in main


def test_a_row_without_a_pair_has_no_verdict(tmp_path: Path) -> None:
    records, epochs = collected([write_cell(tmp_path)], tmp_path / "out")
    (row,) = main_table(records, epochs).itertuples()
    assert row.accuracy_difference_verdict == ""
    assert np.isnan(row.accuracy_difference_p_bh)
    assert row.headroom == pytest.approx(1 - row.plain_final_accuracy_mean)
