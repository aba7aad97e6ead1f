"""Entries of a later axis against its default, with planted effects."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agc.grids.cell import Cell, make_cell
from agc.grids.files import Margin
from agc.reports.arms import finished
from agc.reports.entries import as_arms, compared_axes, entry_rows, pooled_entries
from agc.reports.hypotheses.base import StudyData
from agc.reports.tables.entries import entry_lines, entry_tables
from agc.reports.tables.systems import read_systems
from tests.support.study_records import make_study

SEEDS = range(6)
GAIN = {"adam": 0.03, "adamomentum": -0.02, "sgd": 0.0}
MARGIN = Margin(accuracy=0.5)


def cells() -> list[Cell]:
    """Three optimizers in three rows, one of which is corrected; each its own rate."""
    found = []
    rates = {"sgd": 0.1, "adam": 0.01, "adamomentum": 0.003}
    rows = [("dense", 0.0, "none"), ("rigl", 0.9, "none"), ("rigl", 0.9, "agc")]
    for method, sparsity, correction in rows:
        for name, lr in rates.items():
            for seed in SEEDS:
                cell: dict[str, Any] = {"dataset": "digits", "architecture": "resnet8"}
                cell |= {"method": method, "sparsity": sparsity, "correction": correction}
                cell |= {"seed": seed, "training": {"optimizer": {"name": name, "lr": lr}}}
                found.append(make_cell(cell))
    return found


def truth(cell: Cell) -> float:
    """Corrected runs are a point higher, whatever their optimizer."""
    return 0.8 + GAIN[cell.training.optimizer.name] + 0.01 * (cell.correction.name == "agc")


@pytest.fixture(scope="module")
def study() -> StudyData:
    grid = cells()
    return make_study(truth, {"x": grid}, rates_by_arm=[cell.slug for cell in grid])


def test_the_axis_is_found_and_its_default_is_the_plain_arm(study: StudyData) -> None:
    assert compared_axes(study.records) == ["optimizer"]
    own = as_arms(study.records, "optimizer")
    assert set(own["correction"]) == {"none", "adam", "adamomentum"}
    assert set(own["method"]) == {"dense", "rigl", "rigl + agc"}
    assert compared_axes(study.records[study.records["optimizer"] != "sgd"]) == []
    assert pooled_entries(study.records[study.records["optimizer"] == "sgd"]) is None


def test_a_pooled_difference_is_that_of_runs_that_are_alike_in_all_else(study: StudyData) -> None:
    found = pooled_entries(study.records, MARGIN)
    lines = found[(found["measure"] == "accuracy") & (found["budget"] == "epochs")]
    assert list(lines["axis"].unique()) == ["optimizer"]
    by_entry = lines.set_index("entry")
    for name in ("adam", "adamomentum"):
        means = []
        for _, runs in study.records.groupby(["method", "correction"]):
            arms = (finished(runs[runs["optimizer"] == o]) for o in ("sgd", name))
            one, other = (arm["final_test_accuracy"].sort_index().to_numpy() for arm in arms)
            means.append((other - one).mean())
        assert by_entry.loc[name, "rows"] == 3
        assert by_entry.loc[name, "pairs"] == 3 * len(SEEDS)
        assert by_entry.loc[name, "mean"] == pytest.approx(100 * np.mean(means))
    assert by_entry.loc["adam", "verdict"] == "relevant gain"
    assert by_entry.loc["adamomentum", "verdict"] == "relevant harm"


def test_rows_have_each_arms_rate_and_their_own_numbers(study: StudyData) -> None:
    rows = entry_rows(study.records, "optimizer", MARGIN)
    assert len(rows) == 6
    assert {(row["entry"], row["lr"]) for row in rows} == {("adam", 0.01), ("adamomentum", 0.003)}
    for row in rows:
        mean = row["judged"].row.mean
        assert mean == pytest.approx(row["accuracy"].mean() - row["base"].mean())


def test_tables_and_lines_name_the_axis_and_both_arms(study: StudyData) -> None:
    found = pooled_entries(study.records, MARGIN)
    (first, pooled), (second, rows) = entry_tables(found, study.records, MARGIN)
    assert (first, second) == ("optimizers against sgd", "optimizers, row by row")
    assert "Entry − sgd in percentage points" in pooled.caption
    (claim,) = (line["claim"] for line in read_systems() if line["entry"] == "adamomentum")
    assert pooled.caption.startswith("adamomentum: its paper")
    assert claim in pooled.caption
    assert "optimizer" in pooled.header
    assert rows.header[:3] == ["method", "optimizer", "sgd"]
    assert {row[0] for row in rows.rows} == {"dense", "rigl 90 %", "rigl + agc 90 %"}
    lines = entry_lines(found)
    assert len(lines) == 2
    assert re.match(r"accuracy, adam against sgd, 3 rows \(18 pairs\): relevant gain", lines[0])


def test_costs_in_bits_stand_beside_the_accuracy_where_cells_have_them(study: StudyData) -> None:
    quantised = study.records["optimizer"] != "sgd"
    records = study.records.assign(training_flops=5.0, dense_training_flops=10.0)
    costs = {"bit_flops": 2.0, "bit_flops_published": 1.0, "simulated_passes": 4.0}
    records = records.assign(**{key: quantised.map({True: v}) for key, v in costs.items()})
    for row in entry_rows(records, "optimizer", MARGIN):
        assert (row["base_flops"], row["bit_flops"], row["bit_flops_published"]) == (0.5, 0.2, 0.1)
        assert row["simulated_passes"] == 4
    _, (_, table) = entry_tables(pooled_entries(records, MARGIN), records, MARGIN)
    assert table.header[-4:] == [
        *("FLOPs, default", "bit FLOPs", "bit FLOPs as published", "simulated passes"),
    ]
    assert {tuple(row[-4:]) for row in table.rows} == {("0.5", "0.2", "0.1", "4")}
    assert "32²" in table.caption


def test_a_grid_of_one_optimizer_compares_none() -> None:
    frame = pd.DataFrame({"correction": ["none"], "dataset": ["digits"]})
    assert compared_axes(frame) == []
