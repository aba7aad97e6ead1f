"""What the attack of the record leaves: accuracies, and which images they are made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from agc.datasets.shared.loader import in_order
from agc.errors import UserError
from agc.evaluation.robust import evaluate_robust
from agc.files import read_json
from agc.grids.cell import Cell
from agc.machine.device import Machine
from agc.records.correct import NAME, Correct, read_correct
from agc.records.weights import load_weights
from agc.reports.collect import collect
from agc.reports.study import read_study
from agc.runs.evaluate import evaluate_cell
from agc.runs.train import CellRun
from agc.training.build import build_model, load_dataset

THREAT = {"epsilon": 0.03, "step_size": 0.01, "steps": 3}


@pytest.fixture
def done(tiny_cell: Callable[..., Cell], tmp_path: Path, machine: Machine) -> Callable[..., Path]:
    """The folder of a trained and attacked cell."""

    def make(epochs: int = 3, **evaluation: object) -> Path:
        cell = tiny_cell(
            method="rigl",
            sparsity=0.5,
            training={"epochs": epochs, "batch_size": 32},
            evaluation={**THREAT, **evaluation},
        )
        folder = tmp_path / cell.slug
        assert CellRun(cell, folder, machine).train() == "finished"
        assert evaluate_cell(folder, machine) == "evaluated"
        return folder

    return make


def noted(folder: Path, name: str = "final") -> Correct:
    found = read_correct(folder, name)
    assert found is not None
    return found


def test_the_images_are_those_that_the_accuracies_count(done: Callable[..., Path]) -> None:
    folder = done()
    results = read_json(folder / "record.json")["results"]
    for name in ("final", "best"):
        found = noted(folder, name)
        assert found.asked.all()
        assert found.right.mean() == results[name]["test_accuracy"]
        assert found.held.mean() == results[name]["robust_accuracy"]
        assert not (found.held & ~found.right).any()


def test_the_images_are_those_that_the_network_has_right(done: Callable[..., Path]) -> None:
    folder = done()
    cell = Cell.model_validate(read_json(folder / "cell.json")["cell"])
    dataset = load_dataset(cell)
    model = build_model(cell, dataset, "cpu").eval()
    load_weights(model, folder / "model.safetensors")
    with torch.no_grad():
        (batch,) = in_order(dataset.test, len(dataset.test))
        right = (model(batch.images).argmax(dim=1) == batch.labels).numpy()
    assert np.array_equal(noted(folder).right, right)


def test_the_same_cell_leaves_the_same_bytes(
    done: Callable[..., Path], tmp_path: Path, machine: Machine
) -> None:
    folder = done()
    before = (folder / NAME).read_bytes()
    (folder / "robustness.json").unlink()
    assert evaluate_cell(folder, machine) == "evaluated"
    assert (folder / NAME).read_bytes() == before


def test_what_collecting_keeps_of_them_unpacks_to_the_same(
    done: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = done()
    monkeypatch.setattr("agc.reports.collect.DATASETS", type("None_", (), {"names": list})())
    collect([folder], tmp_path / "out")
    records, _ = read_study(tmp_path / "out")
    row = records.iloc[0]
    bits = np.frombuffer(row["final_correct"], np.uint8)
    found = noted(folder)
    assert np.array_equal(np.unpackbits(bits, count=row["test_images"]).astype(bool), found.right)


def test_a_damaged_file_is_named(done: Callable[..., Path]) -> None:
    path = done() / NAME
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=NAME):
        read_correct(path.parent)


def test_more_starts_fell_more_images_and_none_stands_up_again(done: Callable[..., Path]) -> None:
    one, five = noted(done()), noted(done(restarts=5))
    assert np.array_equal(one.right, five.right)
    assert not (five.held & ~one.held).any()
    assert five.held.sum() < one.held.sum()


def test_fewer_images_are_among_all_and_count_alone(done: Callable[..., Path]) -> None:
    everywhere, few = noted(done()), done(images=20)
    found = noted(few)
    assert found.asked.sum() == 20
    assert not (found.held & ~found.asked).any()
    told = read_json(few / "record.json")["results"]["final"]
    assert told["robust_accuracy"] == found.held.sum() / 20
    assert told["test_accuracy"] == everywhere.right.mean()


def test_several_starts_end_early_where_no_image_is_left(
    tiny_cell: Callable[..., Cell], machine: Machine
) -> None:
    cell = tiny_cell(evaluation={**THREAT, "epsilon": 1.0, "step_size": 1.0, "restarts": 3})
    dataset = load_dataset(cell)
    model = build_model(cell, dataset, machine.device)
    wrong = dataset.test.relabelled((dataset.test.labels + 1) % dataset.classes)
    held = evaluate_robust(model, wrong, cell.evaluation, 0).held
    assert held.sum() <= len(wrong)


@pytest.mark.parametrize(("ties", "wanted"), [("first", 2), ("loss", 3)])
def test_ties_are_broken_as_the_cell_says(
    ties: str,
    wanted: int,
    tiny_cell: Callable[..., Cell],
    tmp_path: Path,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = CellRun._keep_best
    accuracy, loss = {1: 0.5, 2: 0.9, 3: 0.9, 4: 0.9}, {1: 0.1, 2: 0.7, 3: 0.4, 4: 0.4}

    def keep(self: CellRun, run: object, row: dict) -> None:
        row |= {
            "validation_accuracy": accuracy[row["epoch"]],
            "validation_loss": loss[row["epoch"]],
        }
        real(self, run, row)

    monkeypatch.setattr(CellRun, "_keep_best", keep)
    training = {"epochs": 4, "batch_size": 32}
    cell = tiny_cell(method="dense", training=training, evaluation={"ties": ties})
    assert CellRun(cell, tmp_path, machine).train() == "finished"
    assert read_json(tmp_path / "training.json")["best"]["epoch"] == wanted


def test_none_of_it_renames_a_cell_that_does_not_ask_for_it(
    tiny_cell: Callable[..., Cell],
) -> None:
    usual = {"restarts": 1, "images": None, "ties": "first"}
    assert tiny_cell(evaluation=usual).slug == tiny_cell().slug
    for changed in ({"restarts": 2}, {"images": 20}, {"ties": "loss"}):
        assert tiny_cell(evaluation=changed).slug != tiny_cell().slug
