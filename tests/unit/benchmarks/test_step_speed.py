"""What is timed is what cells do; how long it takes is no matter of tests."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict

import pytest
import torch

from agc.benchmarks import step_speed
from agc.benchmarks.step_speed import StepTimer, calibrate, time_kind
from agc.machine.device import Machine
from agc.planning.kinds import kind
from tests.conftest import CellMaker
from tests.support.timings import MACHINE


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_speed, "SECONDS", 0.0)
    monkeypatch.setattr(step_speed, "LEAST", 2)


def a_second(timer: StepTimer, call: Callable[[], object]) -> float:
    """A clock on which every call takes a second."""
    call()
    return 1.0


def test_a_kind_is_told_by_its_cells_own_numbers(tiny_cell: CellMaker, machine: Machine) -> None:
    cell = tiny_cell(method="rigl", sparsity=0.9, correction="agc", training={"images": 128})
    before = torch.get_rng_state()
    found = time_kind(cell, machine)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(math.isfinite(value) and value >= 0 for value in asdict(found).values())
    assert (found.batch, found.train_images, found.test_images) == (64, 1437, 360)
    assert (found.replays, found.layers) == (1.0, 8)
    assert found.state > found.prunable > 0
    assert found.step_low <= found.step <= found.step_high


def test_an_attack_in_the_step_is_timed_apart(
    tiny_cell: CellMaker, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StepTimer, "__call__", a_second)
    monkeypatch.setattr(step_speed, "LONGEST", 1e6)
    plain = time_kind(tiny_cell(), machine)
    # The attack is a call with it, less one without.
    assert (plain.gradient, plain.prepare) == (1.0, 0.0)
    assert plain.forward == pytest.approx(1 / 360)


def test_a_step_that_would_take_too_long_is_timed_with_fewer_images(
    tiny_cell: CellMaker, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StepTimer, "__call__", a_second)
    # A pass of two images takes a second, a plain step three passes: 15 seconds are ten images.
    monkeypatch.setattr(step_speed, "LONGEST", 15.0)
    found = time_kind(tiny_cell(), machine)
    assert found.batch == 10
    assert found.step == pytest.approx(6.4)
    assert found.replays == 1.0


def test_what_cannot_be_built_is_said_and_does_not_stop_the_others(
    tiny_cell: CellMaker, machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setenv("AGC_DATA_ROOT", str(tmp_path))
    absent = tiny_cell(dataset="mnist", training={"validation": 0.1})
    cells = [absent, tiny_cell()]
    said: list[str] = []
    found, reasons = calibrate(cells, machine, MACHINE, said.append)
    assert list(found.timings) == [kind(cells[1])]
    assert list(reasons) == [kind(absent)]
    assert "mnist" in reasons[kind(absent)]
    assert len(said) == 2
    assert found.start > 0
