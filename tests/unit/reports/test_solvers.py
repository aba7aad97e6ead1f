"""Attacks on equilibrium networks in a report, with planted losses and calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from agc.reports.compare import compare
from agc.reports.report import WHERE_DUE, write_report
from agc.reports.solvers import EQUILIBRIUM, conclusion, fixed_points, solver_runs, solvers
from agc.reports.tables.solvers import solver_lines, solver_tables
from agc.reports.tables.write import load_comparison
from agc.reports.text.hypotheses import systems
from tests.support.records import collected, entry, write_cell

SEEDS = 3
CALLS = {"pgd": 25, "jiio": 1}
REACHED = {"rigl": 40, "static": 80}
"""Iterations of JIIO with which each method's networks have PGD-20's loss."""


def course(method: str, seed: int) -> list[dict[str, Any]]:
    rows = []
    for solver, steps in (("pgd", 5), ("pgd", 20), ("jiio", 20), ("jiio", 40), ("jiio", 80)):
        loss = 2.0 + 0.01 * seed - 0.5 * (solver == "pgd" and steps == 5)
        if solver == "jiio":
            loss += 0.1 if steps >= REACHED[method] else -0.1 - 0.001 * seed
        calls = steps * CALLS[solver]
        measured = {"accuracy": 0.4, "cell_calls": calls, "cell_vjps": calls, "unconverged": 0.25}
        rows.append({"solver": solver, "steps": steps, "loss": loss} | measured)
    return rows


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    root = tmp_path_factory.mktemp("solvers")
    folders = []
    for method in ("rigl", "static"):
        for correction in ("none", "agc"):
            for seed in range(SEEDS):
                fields = {"method": entry(method), "correction": entry(correction), "seed": seed}
                folder = write_cell(root, architecture=entry("deq_tiny"), sparsity=0.9, **fields)
                path = folder / "record.json"
                record = json.loads(path.read_text())
                record["results"]["final"] |= {
                    "robust_accuracy_pgd": 0.5,
                    "robust_accuracy_jiio": 0.4 + 0.01 * seed,
                    "residual": 1e-7,
                    "iterations": 8.0 + seed,
                    "unconverged": seed,
                    "contraction": 0.95,
                    "solvers": course(method, seed),
                }
                path.write_text(json.dumps(record))
                folders.append(folder)
    folders.append(write_cell(root, seed=0, correction=entry("none")))  # of another network
    return collected(folders, root / "tables")


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
