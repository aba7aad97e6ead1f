"""The paper's claims of a grid: pooled estimates in its own measures, beside two equal arms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agc.reports.claims import PAPER
from agc.reports.compare import Comparison, compare
from agc.reports.pooling import pool
from agc.reports.tables.claims import claim_lines, untested
from agc.reports.tables.write import load_comparison, write_tables
from agc.reports.verdict import EQUIVALENT, NO_FINDING
from tests.support.records import collected, entry, write_cell

EPOCHS = 20


def grid(root: Path, **arms: Any) -> Comparison:
    """Arms by their correction, [rows, seeds, epochs] each of accuracy; rows are methods."""
    folders = [
        write_cell(
            root,
            method=entry(f"m{index}"),
            correction=entry(name),
            seed=seed,
            columns={"validation_accuracy": values, "test_accuracy": values},
        )
        for name, arm in arms.items()
        for index, row in enumerate(arm)
        for seed, values in enumerate(row)
    ]
    return compare(*collected(folders, root / "out"))


def trained(rng: np.random.Generator, rows: int = 3, seeds: int = 4) -> np.ndarray:
    """A short training whose noise falls as the learning rate does."""
    time = np.arange(1, EPOCHS + 1)
    late = time > EPOCHS / 2
    rise = 0.9 - 0.5 * np.exp(-time / 3) + 0.03 * late
    own = rng.normal(0, 0.004, (rows, seeds, 1))
    return rise + own + rng.normal(0, np.where(late, 0.004, 0.03), (rows, seeds, EPOCHS))


def test_each_claim_stands_in_its_own_measure_and_at_the_end(tmp_path: Path) -> None:
    plain = [[[0.5, 0.6, 0.7, 0.8], [0.5, 0.6, 0.7, 0.8]]]
    fast = [[[0.7, 0.8, 0.8, 0.8], [0.72, 0.82, 0.8, 0.8]]]
    result = grid(tmp_path, none=plain, agc=fast)
    found = result.claims.set_index("claim")
    assert list(found.index) == ["A", "A budgets", *(f"B {n} %" for n in (97, 99, 100)), "B levels"]
    assert found.loc["A", "mean"] == 0
    # Epochs 1, 1, 1, 2, 3 and 4 of 4.
    expected = 100 * np.mean([0.21, 0.21, 0.21, 0.21, 0.1, 0])
    assert found.loc["A budgets", "mean"] == pytest.approx(expected)
    assert found.loc["B 99 %", "mean"] == -2
    # Levels from .80 down to .55: none needs 4 epochs for ten, 3 for ten, 2 for six; corrected 2
    # down to .72, then 1.
    other = np.where(np.arange(80, 54, -1) > 71, 2, 1)
    base = np.repeat([4, 3, 2], [10, 10, 6])
    assert found.loc["B levels", "mean"] == pytest.approx(100 * np.mean(other / base - 1))
    assert found.loc["A budgets", "paper"] == PAPER["A budgets"].paper == 5.0
    assert found.loc["B levels", "paper"] == -52.1
    assert found.loc[["A", "A budgets", "B levels"], "source"].str.contains("PMLR 234").all()


def test_two_equal_arms_claim_nothing(tmp_path: Path) -> None:
    """The same in law, label swaps as the null: what the words say is that nothing was found."""
    rng = np.random.default_rng(5)
    found = grid(tmp_path, none=trained(rng), agc=trained(rng), placebo=trained(rng)).claims
    for line in found.itertuples():
        assert line.low < 0 < line.high
        assert (line.up, line.down) == (0, 0)
        if line.margin == line.margin:
            assert line.verdict in (EQUIVALENT, NO_FINDING)
            assert line.sentence.startswith((EQUIVALENT, NO_FINDING))
        if line.claim.startswith("B"):
            assert line.low < line.null_mean < line.high
            assert line.swap_p > 0.05
            assert (line.verdict, line.sentence) == ("", "")
    # A placebo is a correction like any other.
    assert set(found["correction"]) == {"agc", "placebo"}


def test_an_arm_that_is_faster_by_rule_has_its_closed_form(tmp_path: Path) -> None:
    """Each accuracy three epochs sooner, in runs that rise by a point an epoch."""
    start = np.array([[0.50, 0.51, 0.52, 0.53]] * 3)[..., None]
    plain = start + 0.01 * np.arange(EPOCHS)
    found = grid(tmp_path, none=plain, agc=plain + 0.03).claims.set_index("claim")
    assert found.loc["A", "mean"] == pytest.approx(3)
    assert found.loc["A budgets", "mean"] == pytest.approx(3)
    # Every swap of labels within a row has another target, and none is as far out.
    line = found.loc["B 97 %"]
    assert line["mean"] == pytest.approx(-3)
    assert abs(line.null_mean) < 0.5
    assert line.swap_p < 0.01
    assert (line.reached_plain, line.reached_corrected) == (1, 1)


def test_interval_and_verdict_of_the_mean_gap_are_those_of_the_pool(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    plain, corrected = trained(rng), trained(rng) + 0.02
    line = grid(tmp_path, none=plain, agc=corrected).claims.set_index("claim").loc["A budgets"]
    at = np.array([2, 4, 7, 9, 14, 20]) - 1
    gaps = (corrected - plain)[..., at].mean(axis=-1)
    expected = pool(list(gaps), 0.01, [0.95] * 3)
    assert (line["rows"], line.pairs, line.margin) == (3, 12, 1.0)
    for name in ("mean", "low", "high", "low90", "high90", "attained", "pred_low"):
        assert line[name] == pytest.approx(100 * getattr(expected, name))
    assert line.swap_p == expected.flip_p


def test_planned_runs_have_a_line_of_their_own(tmp_path: Path) -> None:
    def training(epochs: int) -> dict[str, Any]:
        return {"epochs": epochs, "batch_size": 128}

    folders = []
    for seed, last in enumerate((0.7, 0.8)):
        for name, epochs, final in (("none", 3, last), ("agc", 3, last), ("none", 10, last + 0.1)):
            values = np.append(np.full(epochs - 1, 0.5), final)
            columns = {"validation_accuracy": values, "test_accuracy": values}
            folders.append(
                write_cell(
                    *(tmp_path, False, columns),
                    **{"correction": entry(name), "seed": seed, "training": training(epochs)},
                )
            )
    result = compare(*collected(folders, tmp_path / "out"))
    lines = result.claims[result.claims["claim"] == "A"].set_index("budget")
    assert lines["mean"].to_dict() == pytest.approx({"epochs": 0.0, "planned": -10.0})
    assert len(result.claims[result.claims["claim"] == "B 99 %"]) == 1


LAST = {"epsilon": 8 / 255, "step_size": 2 / 255, "steps": 20, "test": "last"}


def measured_last(root: Path, best: list[int]) -> list[Path]:
    """Plain and corrected runs of as many seeds with the test accuracy of the last epoch, and of
    one that is the best on validation.
    """
    folders = []
    for name in ("none", "agc"):
        for seed, epoch in enumerate(best):
            validation, test = np.full(4, 0.5), np.full(4, np.nan)
            validation[epoch], test[epoch], test[-1] = 0.9, 0.8, 0.7
            columns = {"validation_accuracy": validation, "test_accuracy": test, "test_loss": test}
            folders.append(
                write_cell(
                    root, correction=entry(name), seed=seed, columns=columns, evaluation=LAST
                )
            )
    return folders


def test_a_study_of_such_runs_has_the_rest_and_says_what_it_lacks(tmp_path: Path) -> None:
    result = compare(*collected(measured_last(tmp_path, [0, 1, 3]), tmp_path / "out"))
    row = result.main.iloc[0]
    assert row.runs_without_test_course == 6
    assert row.accuracy_difference_mean == pytest.approx(0)
    assert row.corrected_best_accuracy_mean == pytest.approx((0.8 + 0.8 + 0.7) / 3)
    assert (row.budget_accuracy_difference_n, row.levels) == (0, 0)
    assert row.epochs_to_99_difference_n == 3
    assert list(result.claims["claim"]) == ["A", "B 97 %", "B 99 %", "B 100 %"]
    write_tables(result, tmp_path / "report", {})
    text = (tmp_path / "report" / "tables" / "claims.md").read_text()
    assert "need evaluation.test: every-epoch" in text
    read = load_comparison(tmp_path / "report")
    assert read.main["runs_without_test_course"].tolist() == [6]


def test_a_study_of_other_runs_has_no_word_of_it(tmp_path: Path) -> None:
    result = grid(tmp_path, none=[[[0.5, 0.6, 0.7, 0.8]]], agc=[[[0.7, 0.8, 0.8, 0.8]]])
    assert "runs_without_test_course" not in result.main
    assert untested(result.main) == []


def test_a_line_has_the_paper_the_estimate_and_the_null(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    found = grid(tmp_path, none=trained(rng), agc=trained(rng)).claims
    names = ["A budgets", "B 99 %", "B levels"]
    lines = dict(zip(names, claim_lines(found), strict=True))
    rows = found.set_index("claim")
    assert "(the paper: +5.00, headline; Table 1, VGG-16)" in lines["A budgets"]
    sentence = rows.loc["A budgets", "sentence"]
    assert f"3 rows (12 pairs): {sentence}; two equal arms +0.00" in lines["A budgets"]
    line = rows.loc["B 99 %"]
    estimate = f"{line['mean']:+.2f} [{line.low:+.2f}, {line.high:+.2f}] epochs"
    assert (
        f": {estimate}; two equal arms {line.null_mean:+.2f}, p {line.swap_p:.3f}"
        in (lines["B 99 %"])
    )
    assert "(the paper: -52.1 %, headline; Figure 4b, WRN-28-4)" in lines["B levels"]
    assert "the paper" not in lines["B 99 %"]


def test_lines_leave_out_what_the_pooled_ones_say_and_the_placebo(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    found = grid(tmp_path, none=trained(rng), agc=trained(rng)).claims
    assert {"A", "B 97 %", "B 100 %"} <= {*found["claim"]}
    assert len(claim_lines(found)) == 3
    assert claim_lines(found.assign(correction="placebo")) == []
