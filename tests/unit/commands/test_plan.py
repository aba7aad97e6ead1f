"""``agc plan`` on a machine that is new, and on one that is known."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from agc.benchmarks import step_speed
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
