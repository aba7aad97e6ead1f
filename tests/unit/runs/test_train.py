"""When the test images are measured, and what is known of them in either case."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from agc.errors import UserError
from agc.files import read_json
from agc.grids.cell import Cell
from agc.machine.device import Machine
from agc.machine.stop import Stopped, StopRequest
from agc.records.read import read_epochs, read_record
from agc.records.weights import read_weights
from agc.runs import measure
from agc.runs.evaluate import evaluate_cell
from agc.runs.train import CellRun
from agc.training.run import Run

TEST = ["test_loss", "test_accuracy"]
WEIGHTS = ("model.safetensors", "best.safetensors")
ARMS = {
    "plain": {"method": "dense"},
    "corrected": {"method": "rigl", "sparsity": 0.9, "correction": "agc"},
    "hidden weights": {"method": "top-kast", "sparsity": 0.9},
    "averaged at the end": {"method": "rigl+swa", "sparsity": 0.9},
}


@pytest.fixture(params=ARMS)
def cells(request: pytest.FixtureRequest, tiny_cell: Callable[..., Cell]) -> tuple[Cell, Cell]:
    """A cell whose test images are measured after every epoch, and after the last."""
    given: dict[str, Any] = {"training": {"epochs": 4, "batch_size": 32}, **ARMS[request.param]}
    every, last = tiny_cell(**given), tiny_cell(**given, evaluation={"test": "last"})
    assert every.slug != last.slug
    return every, last


def trained(cell: Cell, folder: Path, machine: Machine) -> pd.DataFrame:
    """Train; the rows of ``epochs.csv``."""
    assert CellRun(cell, folder, machine).train() == "finished"
    return pd.read_csv(folder / "epochs.csv")


def stop_after(epoch: int, stop: StopRequest) -> Callable[[dict[str, Any]], None]:
    """What asks a training to stop when it has made an epoch."""

    def ask(row: dict[str, Any]) -> None:
        if row["epoch"] == epoch:
            stop.ask("SIGTERM")

    return ask


def best_is(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an epoch the one of the highest validation accuracy."""
    real = CellRun._keep_best

    def keep(self: CellRun, run: Any, row: dict[str, Any]) -> None:
        row["validation_accuracy"] = 1.0 if row["epoch"] == epoch else row["epoch"] / 1000
        real(self, run, row)

    monkeypatch.setattr(CellRun, "_keep_best", keep)


def test_measured_last_or_after_every_epoch_the_best_and_the_last_have_the_same_bits(
    cells: tuple[Cell, Cell], machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best_is(2, monkeypatch)
    folders = [tmp_path / cell.slug for cell in cells]
    every, last = (trained(c, f, machine) for c, f in zip(cells, folders, strict=True))
    results = [read_json(folder / "training.json") for folder in folders]
    assert results[0]["best"]["epoch"] == 2
    for name in ("final", "best", "costs", "sparsity"):
        assert results[0][name] == results[1][name]
    pd.testing.assert_frame_equal(every.drop(columns=TEST), last.drop(columns=TEST))
    known = last["epoch"].isin([2, 4])
    assert last.loc[~known, TEST].isna().all(axis=None)
    pd.testing.assert_frame_equal(every.loc[known, TEST], last.loc[known, TEST])
    # Weights are those of the training, not of the last measurement.
    for name in WEIGHTS:
        one, other = (read_weights(folder / name)[0] for folder in folders)
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert evaluate_cell(folders[1], machine) == "evaluated"
    record = read_record(folders[1])
    assert record["results"]["best"]["test_accuracy"] == every["test_accuracy"][1]
    assert len(read_epochs(folders[1], record)) == 4


@pytest.mark.parametrize("graphs", [False, True])
def test_steps_are_recorded_where_the_machine_says_so(
    graphs: bool,
    tiny_cell: Callable[..., Cell],
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded: list[Run] = []
    monkeypatch.setattr("agc.runs.train.use_graphs", recorded.append)
    cell = tiny_cell(training={"epochs": 1})
    CellRun(cell, tmp_path / cell.slug, replace(machine, graphs=graphs)).train()
    assert len(recorded) == int(graphs)


@pytest.mark.parametrize("best", [1, 3, 4])
@pytest.mark.parametrize("stopped_after", [1, 3])
def test_resumed_it_has_the_same_files(
    best: int,
    stopped_after: int,
    tiny_cell: Callable[..., Cell],
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    best_is(best, monkeypatch)
    cell = tiny_cell(
        {"epochs": 4}, evaluation={"test": "last"}, method="rigl", sparsity=0.9, correction="agc"
    )
    trained(cell, tmp_path / "whole", machine)
    stop = StopRequest()
    ask = stop_after(stopped_after, stop)
    with pytest.raises(Stopped):
        CellRun(cell, tmp_path / "again", machine, on_epoch=ask, stop=stop).train()
    trained(cell, tmp_path / "again", machine)
    for name in ("epochs.csv", *WEIGHTS):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    one, other = (read_json(tmp_path / name / "training.json") for name in ("again", "whole"))
    assert one["best"] == other["best"]
    assert one["best"]["test_accuracy"] is not None


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_compiled_and_resumed_it_has_the_same_weights(
    tiny_cell: Callable[..., Cell], machine: Machine, tmp_path: Path
) -> None:
    attacked = {"name": "pgd-at", "options": {"steps": 2}}
    cell = tiny_cell({"epochs": 3, "compiled": True}, objective=attacked, correction="agc")
    trained(cell, tmp_path / "whole", machine)
    stop = StopRequest()
    ask = stop_after(1, stop)
    with pytest.raises(Stopped):
        CellRun(cell, tmp_path / "again", machine, on_epoch=ask, stop=stop).train()
    trained(cell, tmp_path / "again", machine)
    for name in ("epochs.csv", *WEIGHTS):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(("best", "times"), [(2, 2), (4, 1)])
def test_test_images_are_read_once_for_each_of_the_two_networks(
    best: int,
    times: int,
    tiny_cell: Callable[..., Cell],
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    best_is(best, monkeypatch)
    real, sizes = measure.evaluate_clean, []
    monkeypatch.setattr(
        measure,
        "evaluate_clean",
        lambda model, split: (sizes.append(len(split)), real(model, split))[1],
    )
    trained(tiny_cell({"epochs": 4}, evaluation={"test": "last"}), tmp_path, machine)
    assert sizes.count(360) == times
    assert len(sizes) == 4 + times


def test_a_table_that_lacks_what_its_cell_measured_is_refused(
    tiny_cell: Callable[..., Cell],
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    best_is(1, monkeypatch)
    for when, epoch in (("every-epoch", 2), ("last", 1), ("last", 3)):
        cell = tiny_cell({"epochs": 3}, evaluation={"test": when})
        folder = tmp_path / when / str(epoch) / cell.slug
        table = trained(cell, folder, machine)
        evaluate_cell(folder, machine)
        read_epochs(folder, read_record(folder))
        table.loc[table["epoch"] == epoch, "test_accuracy"] = float("nan")
        table.to_csv(folder / "epochs.csv", index=False)
        with pytest.raises(UserError, match=f"has no test_accuracy in epoch {epoch}"):
            read_epochs(folder, read_record(folder))
