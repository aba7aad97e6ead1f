"""A cell of several workers on the disk: resumed with the same bits, and bits in its record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from agc.files import read_json
from agc.grids.cell import Cell
from agc.machine.device import Machine
from agc.machine.stop import Stopped, StopRequest
from agc.records.correct import read_correct
from agc.records.read import read_epochs, read_record
from agc.records.weights import read_weights
from agc.reports.collect import measured_row
from agc.runs.evaluate import evaluate_cell
from agc.runs.train import CellRun
from agc.tracking.content import read_content
from tests.conftest import CellMaker
from tests.support.trials import trained

PLAIN = {"optimizer": {"nesterov": False, "lr": 0.05}}
RIGL = {"method": {"name": "rigl", "options": {"update_interval": 2}}, "sparsity": 0.8}


def talk(name: str, **options: Any) -> dict[str, Any]:
    return {"name": name, "options": options}


def run(cell: Cell, folder: Path, machine: Machine) -> Path:
    cell.write(folder)
    assert CellRun(cell, folder, machine).train() == "finished"
    return folder


@pytest.mark.parametrize(
    "communication",
    [
        talk("saef", compressor="random-k", two_way=True, average=3),
        talk("def", compressor="random-block", ratio=0.2),
        talk("local-extragradient", source="noise"),
    ],
    ids=lambda entry: entry["name"],
)
def test_resumed_it_has_the_same_files(
    communication: dict[str, Any], tiny_cell: CellMaker, machine: Machine, tmp_path: Path
) -> None:
    training = {"epochs": 3, **PLAIN}
    cell = tiny_cell(training, communication=communication, correction="agc", **RIGL)
    whole, stop = run(cell, tmp_path / "whole" / cell.slug, machine), StopRequest()
    folder = tmp_path / "again" / cell.slug
    again = CellRun(cell, folder, machine, on_epoch=lambda row: stop.ask("SIGTERM"), stop=stop)
    with pytest.raises(Stopped):
        again.train()
    assert trained(run(cell, folder, machine)) == trained(whole)
    assert (
        read_json(folder / "training.json")["costs"] == read_json(whole / "training.json")["costs"]
    )


def test_bits_stand_in_record_epochs_tables_and_mlflow(
    tiny_cell: CellMaker, machine: Machine, tmp_path: Path
) -> None:
    cell = tiny_cell(PLAIN, communication=talk("ef", compressor="top-k"), **RIGL)
    folder = run(cell, tmp_path / cell.slug, machine)
    assert evaluate_cell(folder, machine) == "evaluated"
    record = read_record(folder)
    costs, epochs = record["costs"], pd.read_csv(folder / "epochs.csv")
    for key in ("bits_up", "bits_down"):
        assert costs[key] == epochs[key].iloc[-1] > epochs[key].iloc[0] > 0
        assert costs[f"{key}_per_step"] == costs[key] / 8
        assert measured_row(record)[key] == costs[key]
    assert costs["bits_up"] < costs["bits_down"]
    assert costs["extra_tensors"] == 1
    assert len(read_epochs(folder, record)) == 2
    points = {point.name: point.value for point in read_content(folder, "grid").points}
    assert points["costs.bits_up"] == points["bits_up"] == costs["bits_up"]
    assert points["costs.bits_down_per_step"] == costs["bits_down_per_step"]


def test_without_workers_there_are_no_such_columns(
    tiny_cell: CellMaker, machine: Machine, tmp_path: Path
) -> None:
    cell = tiny_cell(PLAIN)
    folder = run(cell, tmp_path / cell.slug, machine)
    assert not [key for key in read_json(folder / "training.json")["costs"] if "bits" in key]
    assert "bits_up" not in (folder / "epochs.csv").read_text()


def test_the_weights_of_detached_error_feedback_are_those_that_were_validated(
    tiny_cell: CellMaker, machine: Machine, tmp_path: Path
) -> None:
    """The saved network has as many test images right as the last epoch's row says."""
    cell = tiny_cell(
        {"epochs": 3, **PLAIN},
        communication=talk("def", compressor="random-block", ratio=0.2),
        **RIGL,
    )
    folder = run(cell, tmp_path / cell.slug, machine)
    assert evaluate_cell(folder, machine) == "evaluated"
    results, rows = read_record(folder)["results"], pd.read_csv(folder / "epochs.csv")
    assert results["final"]["test_accuracy"] == rows["test_accuracy"].iloc[-1]
    right = read_correct(folder).right
    assert right.mean() == pytest.approx(results["final"]["test_accuracy"])
    for name in ("model.safetensors", "best.safetensors"):
        weights, masks = read_weights(folder / name)
        for layer, mask in masks.items():
            assert not weights[layer][~mask].any()
            assert torch.isfinite(weights[layer]).all()
