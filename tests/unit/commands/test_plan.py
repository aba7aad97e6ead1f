"""``agc plan`` on a machine that is new, and on one that is known."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from agc.benchmarks import step_speed
from agc.dynamics.kept import Forecast
from agc.files import read_json
from agc.grids.cell import Cell
from agc.planning.calibration import Calibration
from agc.planning.kinds import kind
from tests.support.command_line import agc
from tests.support.timings import ROUND

GRID = """
description: two kinds
recipe: digits
datasets: [digits]
architectures: [resnet8]
objectives: [standard, pgd-at]
methods: [dense]
corrections: [none, agc]
seeds: 2
"""

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A new machine, on which every step takes as long; how many kinds each call timed."""
    monkeypatch.setenv("AGC_DATA_ROOT", str(tmp_path / "data"))
    monkeypatch.delenv("AGC_CALIBRATE")
    Path("two.yaml").write_text(GRID)
    calls: list[int] = []

    def calibrate(cells: Iterable[Cell], machine, told, say):
        kinds = {kind(cell): ROUND for cell in cells}
        calls.append(len(kinds))
        return Calibration(told, 10.0, kinds), {}

    monkeypatch.setattr(step_speed, "calibrate", calibrate)
    return calls


def test_the_first_plan_times_each_kind_and_later_ones_do_not(timed: list[int]) -> None:
    first = agc("plan", "two.yaml")
    assert first.code == 0, first
    assert timed == [2]
    assert "calibrated here" in " ".join(first.out.split())
    assert "MB of memory" in " ".join(first.out.split())
    assert agc("plan", "two.yaml").out == first.out
    assert timed == [2]
    agc("plan", "two.yaml", "--calibrate")
    assert timed == [2, 2]


def test_nothing_is_timed_for_who_says_so_or_wants_the_cells_alone(timed: list[int]) -> None:
    shown = agc("plan", "two.yaml", "--no-calibrate")
    assert "time and disk unknown" in " ".join(shown.out.split())
    agc("plan", "two.yaml", "--json")
    assert timed == []


def test_written_cells_have_what_is_predicted_of_them(timed: list[int]) -> None:
    assert agc("plan", "two.yaml", "--write").code == 0
    folders = sorted(Path("results/cells").iterdir())
    assert len(folders) == 8
    plans = [read_json(folder / "plan.json") for folder in folders]
    assert [plan["slug"] for plan in plans] == [folder.name for folder in folders]
    assert all(plan["seconds"]["low"] < plan["seconds"]["total"] for plan in plans)


def test_what_cannot_be_timed_is_told_and_predicted_by_nobody(
    timed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def calibrate(cells, machine, told, say):
        return Calibration(told, 0.0, {}), {kind(cell): "no such data" for cell in cells}

    monkeypatch.setattr(step_speed, "calibrate", calibrate)
    shown = agc("plan", "two.yaml", "--write")
    assert shown.code == 0
    assert shown.err.count("not timed: digits.resnet8.") == 2
    assert "no such data" in shown.err
    assert not list(Path("results").rglob("plan.json"))


@pytest.fixture
def foreseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells of the first seed get to half of their first loss in 10 steps; of the second, never.

    Adversarial ones are refused.
    """
    Path("two.yaml").write_text(GRID)

    def forecast_cells(cells, folder):
        for cell in cells:
            if cell.objective.name != "standard":
                yield cell, Forecast(cell.slug, refused="the loss moves with the attack")
                continue
            losses = [1.0, 0.5] if cell.seed == 0 else [1.9, 1.8]
            yield cell, Forecast(cell.slug, "", 2.0, losses, losses, losses, 20)

    monkeypatch.setattr("agc.runs.forecast.forecast_cells", forecast_cells)


def test_steps_to_a_loss_are_a_column_and_reasons_are_lines(foreseen: None) -> None:
    shown = agc("plan", "two.yaml", "--target-loss", 1)
    assert shown.code == 0, shown
    header, *lines = [line for line in shown.out.splitlines() if "│" in line or "┃" in line]
    column = [part.strip() for part in header.split("┃")].index("steps to 1")
    found = [[part.strip() for part in line.split("│")] for line in lines]
    assert {row[2]: row[column] for row in found} == {"standard": "10 (1 of 2)", "pgd-at": "–"}
    assert "not predicted: 4 cells: the loss moves with the attack" in shown.out
    never = agc("plan", "two.yaml", "--target-loss", 0.1).out
    assert "never" in never
    assert "may be left out" not in never


def test_slow_cells_are_listed_with_the_reason_and_stay_until_the_file_leaves_them_out(
    foreseen: None,
) -> None:
    shown = agc("plan", "two.yaml", "--target-loss", 1, "--prune-slow")
    assert "2 of 8 cells may be left out:" in shown.out
    assert shown.out.count("at 1.8 at the least within 160 steps, not 1") == 2
    start = shown.out.splitlines().index("  exclude:")
    Path("two.yaml").write_text(
        GRID + "\n".join(line[2:] for line in shown.out.splitlines()[start:]) + "\n"
    )
    again = agc("plan", "two.yaml", "--target-loss", 1, "--prune-slow").out
    assert "6 cells, 0 finished" in again
    assert again.count("predicted to miss a loss of 1") == 3
    assert "no cell is predicted to miss a loss of 1" in again


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--prune-slow"], "name it by --target-loss"),
        (["--target-loss", 0], "a loss above 0"),
        (["--target-loss", 1, "--json"], "leave out --json"),
    ],
)
def test_a_target_that_makes_no_sense_is_refused(foreseen: None, options: list, words: str) -> None:
    assert words in agc("plan", "two.yaml", *options).message
