"""Entries of a later axis against its default, with planted effects."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agc.grids.axes import AXES
from agc.grids.cell import Cell, make_cell
from agc.grids.files import Margin
from agc.reports.arms import finished
from agc.reports.entries import Compared, as_arms, comparisons, entry_rows, pooled_entries
from agc.reports.hypotheses.base import StudyData
from agc.reports.tables.entries import entry_lines, entry_tables
from agc.reports.tables.systems import read_systems
from tests.support.study_records import make_study

SEEDS = range(6)
GAIN = {"adam": 0.03, "adamomentum": -0.02, "sgd": 0.0}
MARGIN = Margin(accuracy=0.5)
OPTIMIZERS = Compared("optimizer", "sgd")


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
    assert comparisons(study.records) == [OPTIMIZERS]
    own = as_arms(study.records, OPTIMIZERS)
    assert set(own["correction"]) == {"none", "adam", "adamomentum"}
    assert set(own["method"]) == {"dense", "rigl", "rigl + agc"}
    assert comparisons(study.records[study.records["optimizer"] != "sgd"]) == []
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
    rows = entry_rows(study.records, OPTIMIZERS, MARGIN)
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
    both = entry_lines(pd.concat([found, found.assign(dataset="mnist")]))
    assert [line.partition(" against")[0] for line in both] == [
        f"accuracy, {name}, {dataset}"
        for dataset in ("digits", "mnist")
        for name in ("adam", "adamomentum")
    ]


def test_arms_of_a_system_are_of_entries_that_there_are() -> None:
    known = {name for axis in AXES.values() for name in axis.registry.names()}
    for line in read_systems():
        named = {arm.partition("(")[0] for arm in line["arms"].split("; ") if arm}
        assert named <= known
        assert {line["entry"]} - {""} <= named


def test_costs_in_bits_stand_beside_the_accuracy_where_cells_have_them(study: StudyData) -> None:
    quantised = study.records["optimizer"] != "sgd"
    records = study.records.assign(training_flops=5.0, dense_training_flops=10.0)
    costs = {"bit_flops": 2.0, "bit_flops_published": 1.0, "simulated_passes": 4.0}
    records = records.assign(**{key: quantised.map({True: v}) for key, v in costs.items()})
    for row in entry_rows(records, OPTIMIZERS, MARGIN):
        shares = [row[key] for key in ("base_flops", "bit_flops", "bit_flops_published")]
        assert shares == pytest.approx([0.5, 0.2, 0.1])
        assert row["simulated_passes"] == 4
    _, (_, table) = entry_tables(pooled_entries(records, MARGIN), records, MARGIN)
    assert table.header[-4:] == [
        *("FLOPs, default", "bit FLOPs", "bit FLOPs as published", "simulated passes"),
    ]
    assert {tuple(row[-4:]) for row in table.rows} == {("0.5", "0.2", "0.1", "4")}
    assert "32²" in table.caption


def test_a_grid_of_one_optimizer_compares_none() -> None:
    frame = pd.DataFrame({"correction": ["none"], "dataset": ["digits"]})
    assert comparisons(frame) == []


TALK = {"all-reduce": 0.0, "ef": -0.02, "saef": -0.01, "sa-pef": -0.015}
RATIOS = (0.1, 0.01)


def talking() -> list[Cell]:
    """Error feedback, two relatives and their control, at two ratios, and in large batches."""
    plain = {"dataset": "digits", "architecture": "resnet8", "method": "dense"}
    entries: list[dict[str, Any]] = [{"name": "all-reduce"}]
    for name in ("ef", "saef", "sa-pef"):
        for ratio in RATIOS:
            entries.append({"name": name, "options": {"compressor": "top-k", "ratio": ratio}})
    training: dict[str, Any] = {"optimizer": {"nesterov": False}}
    found = [(entry, training) for entry in entries]
    for name in ("all-reduce", "local-extragradient"):
        found.append(({"name": name, "options": {"workers": 16}}, training))
    return [
        make_cell({**plain, "communication": entry, "training": settings, "seed": seed})
        for entry, settings in found
        for seed in SEEDS
    ]


def of_talk(cell: Cell) -> float:
    """A tenth more for a ratio of a tenth; large batches are worse for all."""
    name, options = cell.communication.name, cell.communication.options
    gain = 0.005 * (options.get("ratio") == 0.1) - 0.03 * (options["workers"] == 16)
    return 0.9 + TALK.get(name, 0.01) + gain


@pytest.fixture(scope="module")
def workers() -> StudyData:
    return make_study(of_talk, {"x": talking()}, sd=1e-4)


def test_relatives_stand_beside_the_one_they_are_measured_by(workers: StudyData) -> None:
    found = comparisons(workers.records)
    assert found == [Compared("communication", "all-reduce"), Compared("communication", "ef")]
    own = as_arms(workers.records, found[1])
    assert set(own["correction"]) == {"none", "saef", "sa-pef"}
    assert set(own["method"]) == {f"dense with compressor=top-k, ratio={r:g}" for r in RATIOS}
    rows = entry_rows(workers.records, found[1], MARGIN)
    assert len(rows) == 4
    for row in rows:
        gain = TALK[row["entry"]] - TALK["ef"]
        assert row["judged"].row.mean == pytest.approx(gain, abs=3e-4)


def test_options_that_act_on_the_relative_alone_are_pooled_by_themselves() -> None:
    def of_start(cell: Cell) -> float:
        """The start costs the relative five points, and nobody else."""
        name, options = cell.communication.name, cell.communication.options
        return of_talk(cell) - 0.05 * (name == "ef" and options["start"] == "zero")

    plain = {"dataset": "digits", "architecture": "resnet8", "method": "dense"}
    training = {"optimizer": {"nesterov": False}}
    cells = [
        make_cell({**plain, "communication": entry, "training": training, "seed": seed})
        for name in ("ef", "saef")
        for entry in ({"name": name}, {"name": name, "options": {"start": "zero"}})
        for seed in SEEDS
    ]
    found = pooled_entries(make_study(of_start, {"x": cells}, sd=1e-4).records, MARGIN)
    means = found.query("measure == 'accuracy'").set_index("entry")["mean"] / 100
    assert means["saef"] == pytest.approx(TALK["saef"] - TALK["ef"], abs=3e-4)
    assert means["saef(start=zero)"] == pytest.approx(means["saef"] + 0.05, abs=6e-4)


def test_an_entry_is_not_compared_where_its_base_is_not() -> None:
    plain = {"dataset": "digits", "architecture": "resnet8", "method": "dense"}
    both = [("sgd", "all-reduce"), ("lars", "all-reduce"), ("lars", "local-extragradient")]
    cells = [
        make_cell(
            {
                **plain,
                "communication": communication,
                "training": {"optimizer": {"name": optimizer, "nesterov": False}},
                "seed": seed,
            }
        )
        for optimizer, communication in both
        for seed in SEEDS
    ]
    found = pooled_entries(make_study(of_talk, {"x": cells}, sd=1e-4).records, MARGIN)
    lines = found[found["axis"] == "optimizer"]
    assert lines["communication"].unique().tolist() == ["all-reduce"]


def test_the_control_has_as_many_workers_as_who_is_beside_it(workers: StudyData) -> None:
    rows = entry_rows(workers.records, Compared("communication", "all-reduce"), MARGIN)
    means = {(row["method"], row["entry"]): row["judged"].row.mean for row in rows}
    large = means.pop(("dense with workers=16", "local-extragradient"))
    assert large == pytest.approx(0.01, abs=3e-4)
    assert {method for method, _ in means} == {"dense"}
    saef = means["dense", "saef(compressor=top-k, ratio=0.1)"]
    assert saef == pytest.approx(TALK["saef"] + 0.005, abs=3e-4)


def test_tables_say_against_whom(workers: StudyData) -> None:
    found = pooled_entries(workers.records, MARGIN)
    tables = dict(entry_tables(found, workers.records, MARGIN))
    assert list(tables) == [
        "communication against all-reduce",
        "communication, row by row",
        "communication against ef",
        "communication, row by row, against ef",
    ]
    relatives = tables["communication, row by row, against ef"]
    assert relatives.header[:3] == ["method", "communication", "ef"]
    assert any("saef against ef" in line for line in entry_lines(found))
    assert "saef: its paper" in tables["communication against ef"].caption
