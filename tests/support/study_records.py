"""Records of the study's own cells, made up: accuracies by a planted truth, noise by the cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from agc.grids.cell import Cell
from agc.grids.grid import load_grid
from agc.records.read import EPOCH_COLUMNS
from agc.reports.collect import join_epochs, make_table, measured_row
from agc.reports.hypotheses.base import StudyData
from agc.reports.names import name_cells
from tests.support.records import PROVENANCE

Truth = Callable[[Cell], float]

GRIDS = ("core", "controls", "ladder", "published", "noise", "networks", "arms")
"""Stages whose cells are made if no others are asked for: those without an attack or BSR."""
UNITS = {"none": 3.0, "placebo": 3.0, "agc": 10.0, "constant": 9.0, "alpha-svrg": 9.0}
USUAL_EPOCHS = 20
SD = 0.002


def stage_cells(names: Sequence[str] = GRIDS) -> dict[str, tuple[Cell, ...]]:
    """The cells of each stage, by the name of its grid."""
    return {f"study-{name}": load_grid(f"study-{name}").cells for name in names}


def plain_truth(cell: Cell) -> float:
    """More epochs are better, more zeros worse, static training worse still; no correction helps.

    Accuracies are those of Fashion-MNIST at half its size, about.
    """
    epochs = cell.training.epochs
    value = 0.87 - 0.06 * (cell.sparsity - 0.9) / 0.08
    value += 0.012 * np.log2(epochs / USUAL_EPOCHS)
    value -= 0.01 * (cell.method.name == "static")
    # As many steps as usual, of larger batches.
    return value - 0.012 * np.log2(1.25) * (cell.training.batch_size == 157)


def with_effect(of: Callable[[Cell], float]) -> Truth:
    """The plain truth, and what ``of`` adds for a cell."""
    return lambda cell: plain_truth(cell) + of(cell)


def make_study(
    truth: Truth = plain_truth,
    stages: Mapping[str, Sequence[Cell]] | None = None,
    sd: float = SD,
    lost: Callable[[Cell], bool] = lambda cell: False,
    gradients: pd.DataFrame | None = None,
    rates_by_arm: Sequence[str] = (),
) -> StudyData:
    """Records and epochs of all cells of some stages.

    Args:
        truth: mean final test accuracy of a cell; noise is another draw for each cell.
        stages: cells by the name of their grid; those of ``GRIDS`` if left out.
        sd: of the noise.
        lost: which cells diverged.
        gradients: as of :class:`StudyData`.
        rates_by_arm: slugs of cells whose learning rate was chosen for their arm.
    """
    stages = stage_cells() if stages is None else stages
    cells = list({cell.slug: cell for own in stages.values() for cell in own}.values())
    cells.sort(key=lambda cell: cell.slug)
    contents = {cell.slug: cell.model_dump(mode="json") for cell in cells}
    rows, curves = [], []
    for cell in cells:
        curve = _curve(cell, truth(cell) + sd * _draws(cell).normal(), diverged=lost(cell))
        rows.append(measured_row(_record(cell, contents[cell.slug], curve, lost(cell))))
        curves.append(curve)
    records = make_table(rows, name_cells(contents, rates_by_arm))
    slugs = {name: frozenset(cell.slug for cell in own) for name, own in stages.items()}
    return StudyData(records, join_epochs(curves), slugs, gradients)


def replanted(
    study: StudyData,
    stages: Mapping[str, Sequence[Cell]],
    of: Callable[[Cell], float],
    column: str = "final_test_accuracy",
) -> StudyData:
    """The study with what ``of`` says added to each cell's result in a column."""
    cells = {cell.slug: cell for own in stages.values() for cell in own}
    more = np.array([of(cells[slug]) for slug in study.records["slug"]])
    columns = {column: study.records[column] + more}
    return study._replace(records=study.records.assign(**columns))


def made_gradients(study: StudyData, ratio: float, sd: float = 0.01) -> pd.DataFrame:
    """Measured moments of the corrected runs of the core, with a planted ratio of variances."""
    slugs = study.of("study-core").query("correction == 'agc'")["slug"]
    draws = np.random.default_rng(1)
    lines = [
        {"slug": slug, "correction": "agc", "ratio_used": ratio * np.exp(sd * draws.normal())}
        for slug in sorted(slugs)
        for _ in range(2)
    ]
    return pd.DataFrame(lines)


def _draws(cell: Cell) -> np.random.Generator:
    return np.random.default_rng(int(cell.digest[:12], 16))


def _curve(cell: Cell, final: float, diverged: bool) -> pd.DataFrame:
    """[epochs] that end at ``final``; test images are measured where the cell says so."""
    epochs = 3 if diverged else cell.training.epochs
    time = np.arange(1, epochs + 1)
    accuracy = final - 0.5 * (np.exp(-6 * time / epochs) - np.exp(-6))
    per_epoch = UNITS.get(cell.correction.name, 9.0)
    every = cell.evaluation.test == "every-epoch"
    tested = np.where(every | (time == epochs), accuracy, np.nan)
    corrected = cell.correction.name != "none"
    frame: dict[str, Any] = {
        "epoch": time,
        "train_loss": 1.8 * (1 - accuracy) + 1e-4 * _draws(cell).random(epochs),
        "validation_loss": 2 * (1 - accuracy),
        "validation_accuracy": accuracy,
        "test_loss": 2 * (1 - tested),
        "test_accuracy": tested,
        "learning_rate": 0.1,
        "sparsity": cell.sparsity,
        "exploration_rate": np.minimum(1, 0.1 + 0.01 * time),
        "mask_distance": 0.02,
        "dead_neurons": 3,
        "tau": 0.5 if corrected else np.nan,
        "coefficient": 0.05 if corrected else np.nan,
        "updates": time,
        "units": per_epoch * time,
        "flops": 1e9 * (1 - cell.sparsity) * per_epoch * time,
        "steps": 78 * time,
    }
    curve = pd.DataFrame(frame)[list(EPOCH_COLUMNS)]
    curve.insert(0, "slug", cell.slug)
    return curve.assign(train_seconds=0.6 * per_epoch, evaluation_seconds=0.1)


def _record(
    cell: Cell, content: dict[str, Any], curve: pd.DataFrame, diverged: bool
) -> dict[str, Any]:
    last = curve.iloc[-1]
    epochs, units = len(curve), float(last["units"])
    keys = ("train_loss", "validation_loss", "validation_accuracy", "test_loss", "test_accuracy")
    adversarial = cell.objective.name != "standard"
    robust = float(last["test_accuracy"]) - 0.3 if adversarial else 0.02
    final = {"epoch": epochs, "robust_accuracy": robust} | {key: float(last[key]) for key in keys}
    best = final | {"test_accuracy": final["test_accuracy"] - 0.0005}
    return {
        "slug": cell.slug,
        "cell": content,
        "status": "diverged" if diverged else "finished",
        "diverged_epoch": epochs if diverged else None,
        "results": {"final": None if diverged else final, "best": None if diverged else best},
        "costs": {
            "epochs": epochs,
            "steps": int(last["steps"]),
            "units": units,
            "units_per_epoch": units / epochs,
            "gradient_evaluations": int(last["steps"]),
            "training_flops": float(last["flops"]),
            "dense_training_flops": 1e9 * 3 * epochs,
            "inference_flops": 1e6 * (1 - cell.sparsity),
            "dense_inference_flops": 1e6,
            "extra_tensors": 0.0 if cell.correction.name == "none" else 2.0,
        },
        "sparsity": {
            "target": cell.sparsity,
            "reached": cell.sparsity,
            "exploration_rate": 0.31,
            "weights": 98_000,
            "active": int(98_000 * (1 - cell.sparsity)),
        },
        "seconds": {
            "train": 0.6 * units,
            "evaluation": 3.0,
            "setup": 1.0,
            "checkpoint": 0.5,
            "robust_evaluation": 0.0,
            "total": 0.6 * units + 4.5,
        },
        "provenance": PROVENANCE | {"cpu_capability": "AVX2"},
        "warnings": [],
    }
