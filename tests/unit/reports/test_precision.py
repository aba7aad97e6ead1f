"""Seeds until precise: the rule sees the spread alone, and leaves intervals what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from agc.grids.cell import Cell
from agc.grids.files import Precision
from agc.grids.grid import load_grid
from agc.reports import rows
from agc.reports.precision import (
    CAPPED,
    MORE,
    NO_PAIR,
    PRECISE,
    WAITING,
    RowPrecision,
    judge_precision,
)
from tests.support.precision import make_records, write_grid_file

TYPICAL = Precision(half_width=0.9)
WHAT = ("agc", "accuracy", "epochs")


def cells_of(folder: Path, **changes: object) -> tuple[Cell, ...]:
    return load_grid(str(write_grid_file(folder, **changes))).cells


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes most of an interval's time and is none of the rule."""
    monkeypatch.setattr(rows, "smallest_detectable", lambda *_: np.nan)


@pytest.fixture
def cells(tmp_path: Path) -> tuple[Cell, ...]:
    """Two rows of six seeds at each sparsity: a spread of ten degrees of freedom."""
    return cells_of(tmp_path, seeds=6)


def decisions(judged: list[RowPrecision]) -> list[tuple[object, ...]]:
    return [(row.name, row.state, row.added) for row in judged]


def of_row(records: pd.DataFrame, method: str, sparsity: float) -> pd.Series:
    return (records["method"] == method) & (records["sparsity"] == sparsity)


def test_half_widths_are_those_of_the_pooled_spread(cells: tuple[Cell, ...]) -> None:
    records = make_records(cells)
    # Both methods at 0.9 share a spread: 2 × 5 degrees of freedom.
    own = records[records["sparsity"] == 0.9].pivot_table(
        index=["method", "seed"], columns="correction", values="final_test_accuracy"
    )
    differences = (own["agc"] - own["none"]).groupby("method")
    sd = np.sqrt(differences.var(ddof=1).mean())
    found = judge_precision(records, cells, TYPICAL)[0].widest
    assert found is not None
    assert found.half_width == pytest.approx(100 * t.ppf(0.975, 10) * sd / np.sqrt(6))
    assert (found.correction, found.measure, found.budget, found.df) == (*WHAT, 10)


def test_the_decision_depends_on_the_spread_alone(cells: tuple[Cell, ...]) -> None:
    """Whatever is added to the corrected accuracies of a row, however large: nothing changes."""
    records = make_records(cells)
    widths = {row.widest.half_width for row in judge_precision(records, cells, TYPICAL)}
    rule = Precision(half_width=float(np.mean(list(widths))))
    expected = decisions(judge_precision(records, cells, rule))
    assert {state for _, state, _ in expected} == {PRECISE, MORE}
    for shift in (-0.5, -0.003, 1e-9, 0.7):
        for method, sparsity in (("rigl", 0.9), ("set", 0.95)):
            shifted = records.copy()
            mine = of_row(records, method, sparsity) & (records["correction"] == "agc")
            shifted.loc[mine, "final_test_accuracy"] += shift
            assert decisions(judge_precision(shifted, cells, rule)) == expected
    # Nor does it matter which arm is called corrected, or what comes first.
    swapped = records.assign(final_test_accuracy=-records["final_test_accuracy"])
    assert decisions(judge_precision(swapped, cells, rule)) == expected
    order = np.random.default_rng(0).permutation(len(records))
    assert decisions(judge_precision(records.iloc[order], cells, rule)) == expected
    backwards = judge_precision(records, cells[::-1], rule)
    assert sorted(decisions(backwards)) == sorted(expected)


def test_a_wider_spread_is_never_the_more_precise(cells: tuple[Cell, ...]) -> None:
    def precise(sd: float) -> int:
        judged = judge_precision(make_records(cells, sd), cells, TYPICAL)
        return sum(row.state == PRECISE for row in judged)

    counts = [precise(sd) for sd in (0.001, 0.004, 0.008, 0.02)]
    assert counts == sorted(counts, reverse=True)
    assert (counts[0], counts[-1]) == (4, 0)


def test_blocks_end_at_the_cap(tmp_path: Path) -> None:
    rule = Precision(half_width=1e-3, block=5, cap=7)
    for seeds, state, added in ((5, MORE, (5, 6)), (7, CAPPED, ()), (9, CAPPED, ())):
        cells = cells_of(tmp_path, seeds=seeds)
        for row in judge_precision(make_records(cells), cells, rule):
            assert (row.state, row.added, row.seeds) == (state, added, seeds)


def test_a_row_waits_for_its_cells_and_no_other_row_does(cells: tuple[Cell, ...]) -> None:
    records = make_records(cells)
    lost = of_row(records, "set", 0.9) & (records["seed"] == 3)
    records.loc[lost.idxmax(), "status"] = "unfinished"
    records = records.drop(index=lost[lost].index[-1])
    judged = judge_precision(records, cells, Precision(half_width=1e-3))
    assert [(row.state, row.missing) for row in judged] == [
        *((MORE, 0), (MORE, 0)),
        *((WAITING, 2), (MORE, 0)),
    ]


def test_runs_that_diverge_are_results_and_make_no_pair(cells: tuple[Cell, ...]) -> None:
    records = make_records(cells)
    lost = of_row(records, "rigl", 0.9) & (records["correction"] == "agc")
    records.loc[lost, "status"] = "diverged"
    first = judge_precision(records, cells, TYPICAL)[0]
    assert (first.state, first.widest, first.added) == (NO_PAIR, None, ())


def test_the_widest_comparison_of_all_that_the_tables_make_decides(tmp_path: Path) -> None:
    cells = cells_of(tmp_path, objectives=["pgd-at"], seeds=10, corrections=["none", "agc", "svrg"])
    records = make_records(cells, sd=0.001)
    names = {row.widest.measure for row in judge_precision(records, cells, TYPICAL) if row.widest}
    loose = Precision(half_width=0.9, robust=1e-3)
    judged = judge_precision(records, cells, loose)
    assert names <= {"accuracy", "robust"}
    assert {(row.state, row.widest.measure) for row in judged if row.widest} == {(MORE, "robust")}
    wide = records["correction"] == "svrg"
    rng = np.random.default_rng(0)
    records.loc[wide, "final_test_accuracy"] = rng.normal(0.5, 0.1, wide.sum())
    judged = judge_precision(records, cells, TYPICAL)
    assert {(row.state, row.widest.correction) for row in judged if row.widest} == {(MORE, "svrg")}


@pytest.mark.parametrize(("seeds", "sd"), [(5, 0.0), (3, 1e-6), (1, 0.01)])
def test_a_spread_that_may_be_chance_stops_no_row(tmp_path: Path, seeds: int, sd: float) -> None:
    """No spread at all, one of few degrees of freedom, or pairs too few for one."""
    cells = cells_of(tmp_path, methods=["rigl"], seeds=seeds)
    for row in judge_precision(make_records(cells, sd), cells, TYPICAL):
        assert (row.state, row.seeds) == (MORE, seeds)


def test_a_row_without_a_correction_is_none_of_the_rule(tmp_path: Path) -> None:
    cells = cells_of(tmp_path, corrections=["none"])
    assert judge_precision(make_records(cells), cells, TYPICAL) == []


def _coverage(rows: int, seeds: int, sd: float, rule: Precision) -> float:
    """Share of the intervals after the rule that hold the truth, 0, in 40,000 simulated rows.

    For all studies at once the rule is written anew: a half-width of 1 by the rows' common spread.
    """
    draws = np.random.default_rng(7).normal(0, sd, (40_000 // rows, rows, rule.cap))
    sums, squares = draws.cumsum(-1), (draws**2).cumsum(-1)
    factor = np.array([np.nan, *t.ppf(0.975, np.arange(1, rows * rule.cap))])
    n = np.full(draws.shape[:2], seeds)
    while True:
        last = n[..., None] - 1
        total = np.take_along_axis(sums, last, -1)[..., 0]
        within = np.take_along_axis(squares, last, -1)[..., 0] - total**2 / n
        df = (n - 1).sum(1, keepdims=True)
        half = factor[df] * np.sqrt(within.sum(1, keepdims=True) / df / n)
        wide = (half > 1) | (df < rule.freedom)
        more = np.where(wide, np.minimum(rule.block, rule.cap - n), 0)
        if not more.any():
            return float((abs(total / n) <= half).mean())
        n = n + more


# With these spreads the rule has most to decide: coverage is least.
@pytest.mark.parametrize("sd", [1.0, 1.45, 2.0])
@pytest.mark.parametrize(("rows", "seeds"), [(1, 3), (1, 5), (1, 10), (2, 3), (2, 5), (4, 3)])
def test_intervals_after_the_rule_hold_the_truth(rows: int, seeds: int, sd: float) -> None:
    assert _coverage(rows, seeds, sd, Precision(half_width=1)) >= 0.935


def test_without_degrees_of_freedom_they_would_not() -> None:
    assert _coverage(1, 3, 1.45, Precision(half_width=1, freedom=1)) < 0.92
