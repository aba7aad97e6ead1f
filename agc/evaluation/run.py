"""Evaluation of a trained cell in its folder: robust accuracy, then the record."""

from __future__ import annotations

import time
from pathlib import Path

from torch import nn

from agc.cell import SCHEMA, Cell, read_cell
from agc.datasets.store import Split
from agc.errors import UserError
from agc.evaluation.robust import evaluate_robust
from agc.files import read_json, write_json
from agc.provenance import installed
from agc.results.record import write_record
from agc.training.build import build_model, load_dataset
from agc.training.device import Machine
from agc.training.done import is_evaluated, is_trained
from agc.training.weights import load_weights


def evaluate_cell(folder: Path, machine: Machine) -> str:
    """Attack the final and the best weights of a trained cell and write its record.

    Returns:
        ``evaluated``, or ``skipped`` if the attacks were done; the record is written anyway.

    Raises:
        UserError: the cell is not trained, or one of its files is not whole.
    """
    cell = read_cell(folder / "cell.json")
    if not is_trained(folder, cell.slug):
        raise UserError(f"{folder}: the cell is not trained (no whole training.json)")
    done = is_evaluated(folder, cell.slug)
    if not done:
        _attack(cell, folder, machine)
    write_record(folder)
    return "skipped" if done else "evaluated"


def _attack(cell: Cell, folder: Path, machine: Machine) -> None:
    training = read_json(folder / "training.json")
    begin = time.perf_counter()
    results = {}
    if training["status"] == "finished":
        dataset = load_dataset(cell)
        test = dataset.test.to(machine.device)
        model = build_model(cell, dataset, machine.device)
        load_weights(model, folder / "model.safetensors")
        results["final"] = _checked(model, test, cell, training["final"], folder)
        best = training["best"]
        if best is not None and best["epoch"] == training["final"]["epoch"]:
            results["best"] = results["final"]
        elif best is not None:
            load_weights(model, folder / "best.safetensors")
            results["best"] = _checked(model, test, cell, best, folder)
    content = {
        "schema": SCHEMA,
        "slug": cell.slug,
        "attack": {"name": "PGD", "library": "torchattacks", "version": installed("torchattacks")},
        "settings": cell.evaluation.model_dump(mode="json"),
        "seconds": time.perf_counter() - begin,
        **results,
    }
    write_json(folder / "robustness.json", content)


def _checked(
    model: nn.Module, test: Split, cell: Cell, trained: dict[str, float], folder: Path
) -> dict[str, float]:
    """Attack, and make sure that these are the weights that training measured."""
    found = evaluate_robust(model, test, cell.evaluation, cell.seed)
    # Another device or thread count may tip an image or two, other weights many.
    if abs(found["clean_accuracy"] - trained["test_accuracy"]) > max(0.01, 2.5 / len(test)):
        raise UserError(
            f"{folder}: the saved weights have test accuracy {found['clean_accuracy']:.4f}, "
            f"training measured {trained['test_accuracy']:.4f}"
        )
    return found
