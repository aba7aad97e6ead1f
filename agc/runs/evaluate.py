"""Evaluation of a trained cell in its folder: robust accuracy, attacks on demand, the record."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from agc.architectures import cell_calls
from agc.datasets.base import Split
from agc.errors import UserError
from agc.evaluation.robust import Attacked, evaluate_robust
from agc.evaluation.solvers import attack_course
from agc.files import read_json, write_json
from agc.grids.cell import SCHEMA, Cell, read_cell
from agc.machine.device import Machine
from agc.machine.memory import memory_errors
from agc.machine.provenance import installed
from agc.records.correct import write_correct
from agc.records.done import is_evaluated, is_trained
from agc.records.failure import clear_failure, write_failure
from agc.records.record import write_record
from agc.records.weights import load_weights
from agc.runs.ladder import Plan, climb, summary
from agc.training.build import build_model, load_dataset

WEIGHTS = {"final": "model.safetensors", "best": "best.safetensors"}


def evaluate_cell(
    folder: Path,
    machine: Machine,
    plan: Plan | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> str:
    """Attack the final and the best weights of a trained cell and write its record.

    Args:
        folder: the cell's.
        machine: from :func:`agc.machine.device.prepare_machine`.
        plan: attacks beyond the standard one; those that have been made are not made again.
        report: called with a line of progress.

    Returns:
        ``evaluated``, or ``skipped`` if the standard attack was done and there was no plan; the
        record is written anyway.

    Raises:
        UserError: the cell is not trained, one of its files is not whole, or memory is used up,
            which ``failure.json`` then tells.
    """
    cell = read_cell(folder / "cell.json")
    if not is_trained(folder, cell.slug):
        raise UserError(f"{folder}: the cell is not trained (no whole training.json)")
    done = is_evaluated(folder, cell.slug)
    clear_failure(folder)

    def note(reason: str) -> None:
        write_failure(folder, cell.slug, "evaluation", cell.training.epochs, reason)

    with memory_errors(note):
        if not done:
            write_json(folder / "robustness.json", _standard(cell, folder, machine, report))
        if plan is not None:
            _on_demand(cell, folder, machine, plan, report)
    _add_attacks(cell, folder)
    write_record(folder)
    return "skipped" if done and plan is None else "evaluated"


def _standard(
    cell: Cell, folder: Path, machine: Machine, report: Callable[[str], None]
) -> dict[str, Any]:
    """The recipe's PGD on both weights."""
    training = read_json(folder / "training.json")
    begin = time.perf_counter()
    found: dict[str, Attacked] = {}
    if training["status"] == "finished":
        dataset = load_dataset(cell)
        test = dataset.test.to(machine.device)
        model = build_model(cell, dataset, machine.device)
        for name in _measured(training):
            report(f"standard attack on the {name} weights")
            load_weights(model, folder / WEIGHTS[name])
            found[name] = _checked(model, test, cell, training[name], folder)
            if name == "final" and cell_calls(cell.architecture) is not None:
                report("both solvers at several budgets")
                course = attack_course(model, test, cell.evaluation, cell.seed)
                found[name].measures["solvers"] = course
        if _same(training):
            found["best"] = found["final"]
        write_correct(
            folder, {name: (one.right, one.asked, one.held) for name, one in found.items()}
        )
    library = "torchattacks" if cell.evaluation.norm == "linf" else "agc-bench"
    return {
        "schema": SCHEMA,
        "slug": cell.slug,
        "attack": {"name": "PGD", "library": library, "version": installed(library)},
        "settings": cell.evaluation.model_dump(mode="json"),
        "seconds": time.perf_counter() - begin,
        **{name: one.measures for name, one in found.items()},
    }


def _on_demand(
    cell: Cell, folder: Path, machine: Machine, plan: Plan, report: Callable[[str], None]
) -> None:
    training = read_json(folder / "training.json")
    if training["status"] != "finished":
        return
    dataset = load_dataset(cell)
    plan.made(cell, dataset.classes)  # so that a bad plan ends before anything is computed
    test = dataset.test.to(machine.device)
    model = build_model(cell, dataset, machine.device)
    for name in _measured(training):
        path = folder / WEIGHTS[name]
        load_weights(model, path)
        climb(
            model,
            test,
            cell,
            plan,
            folder / "attacks",
            name,
            _digest(path),
            lambda text, name=name: report(f"{name} weights, {text}"),
        )


def _add_attacks(cell: Cell, folder: Path) -> None:
    """Put what the attacks on demand have found into ``robustness.json``."""
    path = folder / "robustness.json"
    content = read_json(path)
    before = {name: dict(content[name]) for name in WEIGHTS if content.get(name)}
    if not before or not (folder / "attacks").is_dir():
        return
    training = read_json(folder / "training.json")
    for name, result in before.items():
        source = "final" if _same(training) else name
        found = summary(folder / "attacks", cell, source, _digest(folder / WEIGHTS[source]))
        kept = {k: v for k, v in result.items() if k not in ("attacks", "worst_case")}
        content[name] = {**kept, **found}
    if any(content[name] != before[name] for name in before):
        write_json(path, content)


def _same(training: dict[str, Any]) -> bool:
    """Whether the best epoch is the last."""
    best = training["best"]
    return best is not None and best["epoch"] == training["final"]["epoch"]


def _measured(training: dict[str, Any]) -> list[str]:
    """Which weights there are that differ."""
    return ["final"] if training["best"] is None or _same(training) else ["final", "best"]


def _digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _checked(
    model: nn.Module, test: Split, cell: Cell, trained: dict[str, float], folder: Path
) -> Attacked:
    """Attack, and make sure that these are the weights that training measured."""
    found = evaluate_robust(model, test, cell.evaluation, cell.seed)
    # Another device or thread count may tip an image or two, other weights many.
    accuracy = found.measures["clean_accuracy"]
    if abs(accuracy - trained["test_accuracy"]) > max(0.01, 2.5 / len(test)):
        raise UserError(
            f"{folder}: the saved weights have test accuracy {accuracy:.4f}, "
            f"training measured {trained['test_accuracy']:.4f}"
        )
    return found
