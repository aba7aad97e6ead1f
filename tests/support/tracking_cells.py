"""Finished cells made up by hand: the files that a real run leaves, without the training."""

from __future__ import annotations

import csv
import json
from pathlib import Path

COLUMNS = [
    "epoch",
    *("train_loss", "validation_loss", "validation_accuracy", "test_loss", "test_accuracy"),
    *("learning_rate", "sparsity", "exploration_rate", "tau", "coefficient", "updates"),
    *("units", "flops", "steps"),
]


def make_cells(results: Path, seeds: int, epochs: int = 3, **changes: object) -> list[Path]:
    """Cells ``seed`` 0, 1, …: even ones with a correction, odd ones without."""
    return [make_cell(results, seed, epochs, **changes) for seed in range(seeds)]


def make_cell(
    results: Path,
    seed: int,
    epochs: int = 3,
    *,
    status: str = "finished",
    test_accuracy: float = 0.9,
    options: dict[str, object] | None = None,
) -> Path:
    correction = "agc" if seed % 2 == 0 else "none"
    slug = f"digits.resnet8.pgd-at.rigl-0.95.{correction}.s{seed}.{seed:08x}"
    folder = results / "cells" / slug
    folder.mkdir(parents=True, exist_ok=True)
    cell = {
        "dataset": {"name": "digits", "options": {}},
        "architecture": {"name": "resnet8", "options": {}},
        "objective": {"name": "pgd-at", "options": {"epsilon": 0.1, **(options or {})}},
        "method": {"name": "rigl", "options": {"drop_fraction": 0.3}},
        "sparsity": 0.95,
        "correction": {"name": correction, "options": {"gamma": 0.1} if seed % 2 == 0 else {}},
        "seed": seed,
        "training": {"epochs": epochs, "optimizer": {"name": "sgd", "lr": 0.1, "nesterov": True}},
        "evaluation": {"attacks": ["pgd-20"]},
        "revision": 1,
    }
    diverged = status == "diverged"
    results_at = {"epoch": epochs, "test_accuracy": test_accuracy, "robust_accuracy": 0.4}
    record = {
        "schema": 1,
        "slug": slug,
        "cell": cell,
        "status": status,
        "diverged_epoch": epochs if diverged else None,
        "results": {
            "final": None if diverged else results_at,
            "best": None if diverged else {**results_at, "epoch": 2},
        },
        "costs": {"epochs": epochs, "steps": 20 * epochs, "units": 10.0 * epochs},
        "sparsity": {
            "target": 0.95,
            "reached": 0.95003,
            "layers": {"conv1.weight": {"shape": [8, 1, 3, 3], "weights": 72, "active": 40}},
        },
        "seconds": {"train": 9.5, "total": 12.0},
        "provenance": {
            "agc": "0.1.0",
            "git_commit": "c0ffee",
            "git_dirty": False,
            "torchattacks": None,
            "started": "2026-01-02T03:04:05Z",
            "finished": "2026-01-02T03:04:35+00:00",
        },
        "warnings": ["two dead filters in conv1"] if seed == 0 else [],
    }
    _write_json(folder / "cell.json", {"schema": 1, "slug": slug, "cell": cell})
    _write_json(folder / "record.json", record)
    _write_json(folder / "robustness.json", {"schema": 1, "pgd-20": 0.4})
    with (folder / "epochs.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for epoch in range(1, epochs + 1):
            loss = "nan" if diverged and epoch == epochs else 1 / epoch
            curve = [loss, 0.5, 0.8, 0.6, test_accuracy * epoch / epochs, 0.1, 0.95, 0.1 * epoch]
            slope = [0.3, 0.03] if seed % 2 == 0 else ["", ""]
            writer.writerow([epoch, *curve, *slope, 5, 10.0 * epoch, 1e12 * epoch, 20 * epoch])
    (folder / "timings.csv").write_text("epoch,train_seconds,evaluation_seconds\n1,3.0,0.5\n")
    (folder / "train.log").write_text("finished\n")
    (folder / "model.safetensors").write_bytes(bytes(64))
    return folder


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1))
