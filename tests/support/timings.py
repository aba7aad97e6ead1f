"""A machine whose steps take round numbers of seconds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agc.grids.cell import Cell
from agc.planning.calibration import Calibration, Timing
from agc.planning.kinds import kind

ROUND = Timing(
    batch=64,
    step=0.1,
    step_low=0.09,
    step_high=0.12,
    gradient=0.06,
    prepare=0.3,
    forward=0.001,
    attack=0.002,
    setup=2.0,
    load=1.0,
    memory=8e8,
    train_images=1437,
    test_images=360,
    replays=1.0,
    state=301992,
    prunable=298048,
    layers=8,
)

MACHINE = {"cpu": "AMD EPYC", "device": "cpu", "threads": 1, "torch": "2.15.0"}


def calibration(*cells: Cell, **changes: Any) -> Calibration:
    """What is known of the kinds of some cells, the same of each."""
    timing = replace(ROUND, **changes)
    return Calibration(MACHINE, 10.0, {kind(cell): timing for cell in cells})
