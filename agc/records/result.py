"""The files that training leaves in a cell's folder; ``training.json``, the last, seals them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from agc.architectures import cell_calls
from agc.cost.bits import BitLedger
from agc.files import atomic_write_text, write_json
from agc.grids.cell import SCHEMA
from agc.optimizers.base import optimizer_cost
from agc.records.read import EPOCH_COLUMNS, LAYER_COLUMNS, TIMING_COLUMNS
from agc.records.record import CELL_COSTS, SELECTION_KEY
from agc.records.weights import save_weights
from agc.registry import COMMUNICATION, CORRECTIONS, OBJECTIVES, QUANTIZATIONS
from agc.training.run import Run

Row = dict[str, Any]

REACHED = 1e-3
"""Sparsities that differ by this count as the same."""


def write_result(
    folder: Path,
    run: Run,
    status: str,
    *,
    rows: list[Row],
    timings: list[Row],
    layers: list[Row],
    best: Row | None,
    best_state: dict[str, dict[str, Tensor]],
    provenance: dict[str, Any],
    seconds: dict[str, float],
) -> None:
    """Write weights, tables and last ``training.json`` of a finished or diverged cell."""
    slug = run.cell.slug
    if status == "finished":
        state, masks = run.model.state_dict(), run.method.masks
        save_weights(folder / "model.safetensors", state, masks, slug)
        if best is not None:
            save_weights(folder / "best.safetensors", **best_state, slug=slug)
    selected = [SELECTION_KEY] if run.cell.evaluation.validation_steps else []
    # Of some cells a row has more.
    columns = dict.fromkeys([*EPOCH_COLUMNS, *selected, *(rows[0] if rows else ())])
    write_csv(folder / "epochs.csv", list(columns), rows)
    write_csv(folder / "timings.csv", TIMING_COLUMNS, timings)
    write_csv(folder / "layers.csv", LAYER_COLUMNS, layers)
    content = {
        "schema": SCHEMA,
        "slug": slug,
        "status": status,
        "diverged_epoch": len(rows) + 1 if status == "diverged" else None,
        "final": rows[-1] if status == "finished" else None,
        "best": best if status == "finished" else None,
        "costs": costs(run, rows),
        "sparsity": layer_sparsity(run),
        "seconds": {
            **seconds,
            "train": sum(row["train_seconds"] for row in timings),
            "evaluation": sum(row["evaluation_seconds"] for row in timings),
        },
        "provenance": provenance,
        "warnings": remarks(run, best) if status == "finished" else [],
    }
    write_json(folder / "training.json", content)


def costs(run: Run, rows: list[Row]) -> dict[str, Any]:
    """What the training cost, counted, beside what a dense plain run of as long would cost.

    Of a quantised network ``bit_flops`` are those of the training in their bits, and
    ``bit_flops_published`` the same as FracTrain counts (:class:`agc.cost.bits.BitFlops`);
    ``simulated_passes`` is how many forward passes through a layer the simulation makes for one.
    """
    cell, images, epochs = run.cell, run.loader.images_per_epoch, len(rows)
    target = OBJECTIVES[cell.objective.name].target
    passes = [
        target.preparation(cell_calls=cell_calls(cell.architecture), **cell.objective.options),
        target.evaluation(**cell.objective.options),
    ]
    plain = sum(p.forward + p.input_backward + 2 * p.backward for p in passes)
    extra = CORRECTIONS[cell.correction.name].target.cost(**cell.correction.options)
    chosen = cell.training.optimizer
    optimizer = optimizer_cost(chosen.name, chosen.options)
    formats = cell.quantization
    quantization = QUANTIZATIONS[formats.name].target.cost(**formats.options)
    talk = cell.communication
    kept = COMMUNICATION[talk.name].target.cost(**COMMUNICATION.resolve(talk.name, talk.options))
    units = rows[-1]["units"] if rows else 0.0
    return {
        "epochs": epochs,
        "steps": run.method.steps,
        "units": units,
        "units_per_epoch": units / epochs if epochs else 0.0,
        "gradient_evaluations": run.meter.input_backward + run.meter.backward,
        "training_flops": rows[-1]["flops"] if rows else 0.0,
        "dense_training_flops": plain * run.flops.forward() * images * epochs,
        "inference_flops": run.flops.forward(run.method.active()),
        "dense_inference_flops": run.flops.forward(),
        "extra_tensors": extra.tensors + optimizer.tensors + quantization.tensors + kept.tensors,
        **_bits(run, rows),
        **traffic(run),
        **{key: rows[-1][key] for key in CELL_COSTS if rows and key in rows[-1]},
    }


def _bits(run: Run, rows: list[Row]) -> dict[str, float]:
    if not isinstance(run.ledger, BitLedger):
        return {}
    keys = ("bit_flops", "bit_flops_published")
    found = {key: rows[-1][key] if rows else 0.0 for key in keys}
    return {**found, "simulated_passes": run.quantization.simulated_passes}


def traffic(run: Run) -> dict[str, float]:
    """Bits that one worker has sent and got, in total and in a step's mean, if there are several.

    They are those of messages as compressors define them, whatever machine the training was
    simulated on: its seconds say nothing of a network.
    """
    total, steps = run.communication.traffic(), max(1, run.method.steps)
    return {**total, **{f"{key}_per_step": bits / steps for key, bits in total.items()}}


def layer_sparsity(run: Run) -> dict[str, Any]:
    """Sparsity by count, in all and per layer."""
    active = run.method.active()
    return {
        "target": run.cell.sparsity,
        "reached": run.method.sparsity(),
        "exploration_rate": run.method.exploration_rate(),
        "weights": sum(p.numel() for p in run.method.parameters.values()),
        "active": sum(active.values()),
        "layers": {
            name: {"shape": list(p.shape), "weights": p.numel(), "active": active[name]}
            for name, p in run.method.parameters.items()
        },
    }


def remarks(run: Run, best: Row | None) -> list[str]:
    """What whoever reads the record of a finished cell must know, one sentence each."""
    reached, target, found = run.method.sparsity(), run.method.target, []
    if abs(reached - target) > REACHED:
        found.append(f"The network has sparsity {reached:.4f}, and {target:.4f} was wanted.")
    if best is None:
        found.append("No epoch had the sparsity that was wanted, so there are no best weights.")
    dead = [name for name, active in run.method.active().items() if not active]
    if dead:
        found.append(f"No weight is active in {', '.join(dead)}.")
    return found


def write_csv(path: Path, columns: Sequence[str], rows: list[Row]) -> None:
    """Write rows with full float precision; the same rows give the same bytes."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_write_text(path, text.getvalue())
