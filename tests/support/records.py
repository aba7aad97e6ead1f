"""A grid of finished cells made up on disk: seeded, with the shape of real learning curves."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agc.records.read import EPOCH_COLUMNS
from agc.reports.collect import collect

UNITS_PER_EPOCH = {"none": 3.0, "agc": 10.0, "svrg": 8.0}
PROVENANCE = {
    "agc": "0.1.0",
    "git_commit": "0123456789abcdef",
    "git_dirty": False,
    "python": "3.11.7",
    "torch": "2.15.0",
    "timm": "1.0.31",
    "numpy": "2.4.6",
    "device": "cpu",
    "hostname": "secret-host",
    "cpu": "a cpu",
    "threads": 1,
    "started": "2026-01-02T03:04:05Z",
    "finished": "2026-01-02T03:05:05Z",
}


def entry(name: str, **options: Any) -> dict[str, Any]:
    return {"name": name, "options": options}


def make_cell(**changes: Any) -> dict[str, Any]:
    cell = {
        "dataset": entry("digits"),
        "architecture": entry("resnet8"),
        "objective": entry("standard"),
        "method": entry("rigl", drop_fraction=0.3),
        "sparsity": 0.95,
        "correction": entry("none"),
        "seed": 0,
        "training": {"epochs": 12, "batch_size": 128, "optimizer": {"name": "sgd", "lr": 0.1}},
        "evaluation": {"attack": "pgd", "steps": 20},
        "revision": 1,
    }
    return cell | changes


def slug_of(cell: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(cell, sort_keys=True).encode()).hexdigest()[:8]
    names = [cell[axis]["name"] for axis in ("dataset", "architecture", "objective")]
    method = f"{cell['method']['name']}-{cell['sparsity']:g}"
    correction = re.sub(r"[^A-Za-z0-9]", "", cell["correction"]["name"])
    return ".".join([*names, method, correction, f"s{cell['seed']}", digest])


def make_epochs(cell: dict[str, Any], **columns: Any) -> pd.DataFrame:
    """Learning curves with a drop of the learning rate; ``columns`` replace whole columns."""
    epochs = len(columns["validation_accuracy"]) if "validation_accuracy" in columns else 12
    method, correction = cell["method"]["name"], cell["correction"]["name"]
    options = cell["correction"]["options"]
    adversarial = cell["objective"]["name"] != "standard"
    task = f"{cell['dataset']['name']} {method} {cell['sparsity']} {cell['seed']}"
    shared = np.random.default_rng(list(task.encode()))
    own = np.random.default_rng(list(f"{task} {correction} {options}".encode()))
    time = np.arange(1, epochs + 1)
    late = time > 0.6 * epochs
    top = 0.93 - 0.15 * adversarial - 0.4 * max(0.0, cell["sparsity"] - 0.9)
    top += 0.008 * shared.normal() + (0.01 + 0.004 * own.normal()) * (correction != "none")
    accuracy = top - 0.7 * np.exp(-time / (0.15 * epochs)) - 0.04 * ~late
    accuracy += np.where(late, 0.004, 0.03) * own.normal(size=epochs)
    accuracy = np.clip(accuracy, 0.1, 1)
    per_epoch = UNITS_PER_EPOCH.get(correction, 5.0) + 30 * adversarial
    frame = {
        "epoch": time,
        "train_loss": 2 * (1 - accuracy) + 0.1 * own.random(epochs) * ~late,
        "validation_loss": 2 * (1 - accuracy),
        "validation_accuracy": accuracy,
        "test_loss": 2 * (1 - accuracy),
        "test_accuracy": np.clip(accuracy - 0.01 + 0.003 * own.normal(size=epochs), 0, 1),
        "learning_rate": np.where(late, 0.01, 0.1),
        "sparsity": cell["sparsity"],
        "exploration_rate": np.nan if method == "dense" else np.minimum(1, 0.1 + 0.02 * time),
        "mask_distance": np.nan if method == "dense" else 0.02,
        "dead_neurons": 3 * (cell["sparsity"] > 0),
        "tau": np.nan if correction == "none" else 0.5,
        "coefficient": np.nan if correction == "none" else 0.05,
        "updates": 2 * time,
        "units": per_epoch * time,
        "flops": 1e9 * (1 - cell["sparsity"]) * per_epoch * time,
        "steps": 20 * time,
    } | columns
    return pd.DataFrame(frame)[list(EPOCH_COLUMNS)]


def make_record(cell: dict[str, Any], curve: pd.DataFrame, diverged: bool) -> dict[str, Any]:
    epochs, units = len(curve), float(curve["units"].iloc[-1]) if len(curve) else 0.0
    standard = cell["objective"]["name"] == "standard"
    robust = 0.02 if standard else 0.45 + len(cell["correction"]["name"]) * cell["seed"] / 300

    def result(row: pd.Series) -> dict[str, Any]:
        keys = ("train_loss", "validation_loss", "validation_accuracy", "test_loss")
        values = {key: float(row[key]) for key in (*keys, "test_accuracy")}
        return {"epoch": int(row["epoch"]), "robust_accuracy": robust, **values}

    at_target = curve[curve["sparsity"] >= cell["sparsity"] - 1e-3]
    results: dict[str, Any] = {"final": None, "best": None}
    if not diverged:
        results["final"] = result(curve.iloc[-1])
        if len(at_target):
            results["best"] = result(curve.loc[at_target["validation_accuracy"].idxmax()])
    return {
        "schema": 1,
        "slug": slug_of(cell),
        "cell": cell,
        "status": "diverged" if diverged else "finished",
        "diverged_epoch": epochs if diverged else None,
        "results": results,
        "costs": {
            "epochs": epochs,
            "steps": 20 * epochs,
            "units": units,
            "units_per_epoch": units / max(epochs, 1),
            "gradient_evaluations": 20 * epochs,
            "training_flops": float(curve["flops"].iloc[-1]) if epochs else 0.0,
            "dense_training_flops": 1e9 * epochs * (3 if standard else 33),
            "inference_flops": 1e6 * (1 - cell["sparsity"]),
            "dense_inference_flops": 1e6,
            "extra_tensors": 0.0 if cell["correction"]["name"] == "none" else 2.0,
        },
        "sparsity": {
            "target": cell["sparsity"],
            "reached": cell["sparsity"] + 3e-5 if cell["sparsity"] else 0.0,
            "exploration_rate": None if cell["method"]["name"] == "dense" else 0.31,
            "weights": 19000,
            "active": int(19000 * (1 - cell["sparsity"])),
            "layers": {"conv1.weight": {"shape": [8, 1, 3, 3], "weights": 72, "active": 40}},
        },
        "seconds": {
            "train": 0.25 * units,
            "evaluation": 3.0,
            "setup": 1.0,
            "checkpoint": 0.5,
            "robust_evaluation": 4.0,
            "total": 0.25 * units + 8.5,
        },
        "provenance": dict(PROVENANCE),
        "warnings": [],
    }


def write_cell(root: Path, diverged: bool = False, columns: Any = None, **changes: Any) -> Path:
    """Write one finished or diverged cell and return its folder."""
    cell = make_cell(**changes)
    curve = make_epochs(cell, **(columns or {}))
    if diverged:
        curve = curve.iloc[:3]
    folder = root / slug_of(cell)
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(make_record(cell, curve, diverged)))
    curve.to_csv(folder / "epochs.csv", index=False)
    seconds = 0.25 * np.diff(curve["units"], prepend=0.0)
    timings = {"epoch": curve["epoch"], "train_seconds": seconds, "evaluation_seconds": 0.2}
    pd.DataFrame(timings).to_csv(folder / "timings.csv", index=False)
    return folder


def write_grid(root: Path, seeds: int = 3) -> list[Path]:
    """Two data sets, two objectives, dense and two sparse methods, two corrections, a failure."""
    folders = []
    for dataset in ("digits", "olivetti"):
        for objective in (entry("standard"), entry("pgd-at", steps=10)):
            for method, sparsity in (
                (entry("dense"), 0.0),
                (entry("rigl", drop_fraction=0.3), 0.9),
                (entry("rigl", drop_fraction=0.3), 0.98),
                (entry("set", drop_fraction=0.3), 0.9),
                (entry("set", drop_fraction=0.3), 0.98),
            ):
                for correction in (entry("none"), entry("agc", gamma=0.1), entry("svrg")):
                    for seed in range(seeds):
                        failed = (correction["name"], sparsity, seed) == ("svrg", 0.98, 1)
                        folders.append(
                            write_cell(
                                root,
                                diverged=failed,
                                dataset=entry(dataset),
                                objective=objective,
                                method=method,
                                sparsity=sparsity,
                                correction=correction,
                                seed=seed,
                            )
                        )
    return folders


def collected(folders: list[Path], out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Collect the cells and read both tables back."""
    collect(folders, out)
    return pd.read_parquet(out / "records.parquet"), pd.read_parquet(out / "epochs.parquet")
