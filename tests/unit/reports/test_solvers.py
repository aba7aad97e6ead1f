"""Attacks on equilibrium networks in a report, with planted losses and calls."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from agc.reports.compare import compare
from agc.reports.report import WHERE_DUE, write_report
from agc.reports.solvers import (
    EQUILIBRIUM,
    conclusion,
    fixed_points,
    solver_runs,
    solvers,
    trainings,
)
from agc.reports.tables.solvers import solver_lines, solver_tables
from agc.reports.tables.write import load_comparison
from agc.reports.text.hypotheses import systems
from tests.support.attack_courses import SEEDS, attacked_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    return attacked_study(tmp_path_factory.mktemp("solvers"))


def test_each_arm_has_its_gaps_and_calls(study: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    records, _ = study
    runs = solver_runs(records)
    assert len(runs) == 2 * 2 * SEEDS * 5
    arms = solvers(records).set_index(["method", "correction", "solver", "steps"])
    assert len(arms) == 2 * 2 * 5
    one = arms.loc[("rigl", "agc", "jiio", 40)]
    assert one["gap"] == pytest.approx(0.1)
    assert one["fewer"] == pytest.approx(500 / 40)
    assert one["fewer_stopped"] == pytest.approx(20 * (9 + 1) / 40)
    assert one["seeds"] == SEEDS
    low = arms.loc[("rigl", "none", "jiio", 20)]
    assert low["gap"] == pytest.approx(-0.101)
    assert low["gap_low"] < low["gap"] < low["gap_high"] < 0
    assert arms.loc[("rigl", "none", "pgd", 20)]["gap"] == 0


def test_the_conclusion_is_of_the_fewest_calls_that_reach_it(
    study: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    arms = solvers(study[0])
    said = conclusion(arms)
    assert said == (
        "JIIO reaches the cross-entropy of PGD-20 by 6.2 to 12.5 times fewer cell calls in 4 of 4"
        " arms (2.5 to 5.0 times, had PGD's solves stopped at a change of 0.001)"
    )
    assert solver_lines(arms) == [f"{said}."]
    rigl = arms[(arms["method"] == "rigl") & ((arms["solver"] == "pgd") | (arms["steps"] <= 20))]
    assert conclusion(rigl) == "JIIO reaches the cross-entropy of PGD-20 in none of 2 arms"


def test_robust_accuracies_are_by_arm(study: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    found = fixed_points(study[0])
    assert len(found) == 4
    for row in found.to_dict("records"):
        assert row["robust_accuracy_jiio"] == pytest.approx(0.41)
        assert row["iterations"] == pytest.approx(9)
        assert row["unconverged"] == 0 + 1 + 2


def test_training_by_jiio_stands_beside_training_by_pgd(
    study: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    records = study[0]
    own = records[records[EQUILIBRIUM].notna()].assign(cell_calls=400.0, units=66.0)
    own = own.assign(final_robust_accuracy=0.5)
    usual = own.assign(objective="pgd-at(steps=10)")
    other = own.assign(objective="mixed-at(steps=10)")
    better = 0.51 + 0.001 * own["seed"].astype(float)
    jointly = usual.assign(final_robust_accuracy=better, cell_calls=100.0, units=16.0)
    jointly = jointly.assign(objective="pgd-at(solver=jiio, steps=40)")
    assert trainings(own).empty
    together = pd.concat([own, usual, other, jointly])
    (found,) = trainings(together).to_dict("records")
    assert found["objective"] == "pgd-at(solver=jiio, steps=40)"
    assert found["instead_of"] == "pgd-at(steps=10)"
    assert found["pairs"] == 2 * 2 * SEEDS
    assert found["gain"] == pytest.approx(1 + 0.1)
    assert found["low"] < found["gain"] < found["high"]
    assert found["cell_calls"] == pytest.approx(400 / 100)
    assert found["units"] == pytest.approx(66 / 16)
    table = solver_tables(together, solvers(together))[1][1]
    assert "12 pairs of runs: robust accuracy +1.10 [" in table.caption
    assert "by 4.0 times fewer cell calls and 4.1 times fewer units." in table.caption


def test_the_report_has_it_and_is_read_back(
    study: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    records, epochs = study
    out = tmp_path / "equilibrium"
    comparison = write_report(records, epochs, out, "equilibrium")
    assert "solvers.csv" in WHERE_DUE
    text = (out / "README.md").read_text()
    (claim,) = [line for line in text.splitlines() if "Its paper claims: 3 to 9 times" in line]
    assert conclusion(comparison.solvers) in claim
    assert "## PGD and JIIO by their cell calls" in text
    assert "## Robust accuracy by both" in text
    assert "- `solvers.csv`" in text
    read = load_comparison(out).solvers
    pd.testing.assert_frame_equal(read, comparison.solvers, check_dtype=False, rtol=1e-9)
    (row,) = [line for line in systems(tmp_path).splitlines() if line.startswith("| JIIO ")]
    assert conclusion(comparison.solvers) in row
    headings = [heading for heading, _ in solver_tables(records, comparison.solvers)]
    assert len(headings) == 2


def test_other_studies_have_none(study: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    records, epochs = study
    other = records[records["architecture"] != "deq_tiny"]
    assert solvers(other) is None
    assert solvers(other.drop(columns=EQUILIBRIUM)) is None
    assert compare(other, epochs).solvers is None
