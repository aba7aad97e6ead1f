"""What a record says of its cell besides the numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agc.files import read_json
from agc.machine.device import Machine
from agc.methods.base import SparseMethod
from agc.records.result import remarks
from agc.runs.train import CellRun


def run(reached: float, target: float, **active: int) -> Any:
    method = SimpleNamespace(sparsity=lambda: reached, target=target, active=lambda: active)
    return SimpleNamespace(method=method)


def test_a_cell_that_went_well_has_nothing_to_remark() -> None:
    assert remarks(run(0.9004, 0.9, conv=5, fc=1), {"epoch": 1}) == []


@pytest.mark.parametrize("reached", [0.89, 0.91])
def test_a_sparsity_that_was_missed_is_told(reached: float) -> None:
    (text,) = remarks(run(reached, 0.9, conv=5), {"epoch": 1})
    assert text == f"The network has sparsity {reached:.4f}, and 0.9000 was wanted."


def test_dead_layers_and_missing_best_weights_are_told() -> None:
    missing, dead = remarks(run(0.9, 0.9, conv=0, fc=3, head=0), None)
    assert "no best weights" in missing
    assert dead == "No weight is active in conv, head."


def test_remarks_are_in_what_training_leaves(
    tiny_cell: Callable, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = tiny_cell(method="static", sparsity=0.9)
    assert CellRun(cell, tmp_path / "well", machine).train() == "finished"
    assert read_json(tmp_path / "well" / "training.json")["warnings"] == []
    monkeypatch.setattr(SparseMethod, "target", 0.95)
    assert CellRun(cell, tmp_path / "missed", machine).train() == "finished"
    missed, without_best = read_json(tmp_path / "missed" / "training.json")["warnings"]
    assert missed.endswith("and 0.9500 was wanted.")
    assert "no best weights" in without_best
