"""PFQ: precision rises between epochs, for all gradients of one at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from agc.conformance.cells import small_cell
from agc.conformance.quantization import result
from agc.errors import UserError
from agc.grids.cell import Cell, make_cell
from agc.machine.device import Machine
from agc.machine.stop import Stopped, StopRequest
from agc.quantization.shared.layers import QuantizedLayer
from agc.records import checkpoint
from agc.runs.train import CellRun
from agc.training.build import build
from agc.training.loop import train

# Two points an epoch, and a threshold that all losses are within: a stage takes three epochs.
OPTIONS = {"points": 20, "threshold": 100.0, "decay": 1.0}
EPOCHS = 10


def cell(correction: str = "none", **options: Any) -> Cell:
    chosen = {"name": "pfq", "options": {**OPTIONS, **options}}
    return small_cell("rigl", correction=correction, quantization=chosen, epochs=EPOCHS)


@contextmanager
def bits_of_passes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int, int]]]:
    """Bits in which the first layer computes in training, pass by pass."""
    seen: list[tuple[int, int, int]] = []
    forward = QuantizedLayer.forward

    def noted(self: Any, inputs: torch.Tensor) -> torch.Tensor:
        if self.training and inputs.shape[1] == 1:
            formats = self.formats
            seen.append((formats.activations, formats.weights, formats.errors))
        return forward(self, inputs)

    with monkeypatch.context() as patch:
        patch.setattr(QuantizedLayer, "forward", noted)
        yield seen


def test_all_gradients_of_an_epoch_have_one_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    run = build(cell("agc"))
    by_epoch = []
    with bits_of_passes(monkeypatch) as seen:
        for _ in train(run):
            by_epoch.append({*seen})
            seen.clear()
    assert all(len(bits) == 1 for bits in by_epoch), by_epoch
    found = [bits.pop() for bits in by_epoch]
    stages = [(3, 3, 6), (4, 4, 6), (6, 6, 8), (8, 8, 8)]
    assert found == [stages[n] for n in (0, 0, 0, 1, 1, 1, 2, 2, 2, 3)]


@pytest.mark.parametrize("epochs", [2, 4])
def test_a_run_that_is_stopped_within_a_stage_ends_with_the_same_bits(
    machine: Machine, tmp_path: Path, epochs: int
) -> None:
    described = cell("agc", detector="falling")
    assert CellRun(described, tmp_path / "whole", machine).train() == "finished"
    folder, stop = tmp_path / "stopped", StopRequest()

    def end(row: dict[str, Any]) -> None:
        if row["epoch"] == epochs:
            stop.ask("SIGTERM")

    with pytest.raises(Stopped):
        CellRun(described, folder, machine, on_epoch=end, stop=stop).train()
    assert (folder / "checkpoint.pt").exists()
    assert CellRun(described, folder, machine).train() == "finished"
    for name in ("model.safetensors", "best.safetensors", "epochs.csv", "layers.csv"):
        one, other = (place / name for place in (tmp_path / "whole", folder))
        assert one.read_bytes() == other.read_bytes(), name


def test_a_checkpoint_brings_the_precision_along(tmp_path: Path) -> None:
    run = build(cell())
    for epoch, _ in train(run):
        if epoch == 5:
            checkpoint.save(tmp_path / "c.pt", run, epoch, {})
            break
    other = build(cell())
    assert other.quantization.formats.activations == 3
    checkpoint.load(tmp_path / "c.pt", other)
    assert other.quantization.formats == run.quantization.formats
    assert other.quantization.formats.activations == 4
    assert len(result(other)) == len(result(run))


@pytest.mark.parametrize("correction", ["storm", "sarah", "mars", "l-svrg", "scsg", "agc-running"])
def test_corrections_that_span_epochs_are_refused(correction: str) -> None:
    fields = {"dataset": "digits", "architecture": "resnet8", "quantization": "pfq"}
    with pytest.raises(UserError, match=f"quantization 'pfq': correction '{correction}' compares"):
        make_cell({**fields, "correction": correction})


def test_a_method_that_trains_several_times_is_refused() -> None:
    fields = {"dataset": "digits", "architecture": "resnet8", "quantization": "pfq"}
    with pytest.raises(UserError, match="method 'lottery' trains several times"):
        make_cell({**fields, "method": "lottery", "sparsity": 0.9, "training": {"epochs": 10}})
