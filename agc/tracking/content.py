"""What the run of a cell holds: parameters, metrics, tags and files, read from its record."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from agc.errors import UserError
from agc.files import read_json
from agc.grids.axes import AXES
from agc.tracking.names import run_name

FILES = (
    "cell.json",
    "record.json",
    "epochs.csv",
    "timings.csv",
    "layers.csv",
    "robustness.json",
    "correct.npz",
    "train.log",
    "model.safetensors",
    "best.safetensors",
)

# Raised when the same files are to be mirrored in another way: every run is then written anew.
MIRROR_REVISION = 2

PARAMETER_LIMIT = 6000
TAG_LIMIT = 8000


class Point(NamedTuple):
    """One value of one metric; ``timestamp`` in milliseconds since 1970."""

    name: str
    value: float
    step: int
    timestamp: int


@dataclass(frozen=True)
class Content:
    """The run of one finished cell; ``started`` and ``finished`` in milliseconds since 1970."""

    slug: str
    name: str
    dataset: dict[str, Any]
    parameters: dict[str, str]
    points: list[Point]
    tags: dict[str, str]
    files: list[Path]
    started: int
    finished: int


def record_files(folder: Path) -> list[Path]:
    """Those files of a cell that its run keeps as artifacts."""
    return [path for name in FILES if (path := folder / name).is_file()]


def digest(folder: Path) -> str:
    """SHA-256 over a record's files, the same for the same record wherever it lies.

    Weights enter by name and size: ``record.json`` holds when the run began and ended, so other
    weights never come with the same record, and gigabytes need not be read to find no change.
    """
    total = hashlib.sha256(f"mirror {MIRROR_REVISION}".encode())
    for path in record_files(folder):
        if path.suffix == ".safetensors":
            part = str(path.stat().st_size)
        else:
            part = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"\n{path.name} {part}".encode())
    return total.hexdigest()


def read_content(folder: Path, grid: str) -> Content:
    """Read the record of a finished cell.

    Raises:
        UserError: a file is missing or damaged, or lacks a field.
    """
    record = read_json(folder / "record.json")
    try:
        started, finished = (
            _milliseconds(record["provenance"][key]) for key in ("started", "finished")
        )
        cell = record["cell"]
        name, dataset = run_name(cell), cell["dataset"]
        parameters = read_parameters(cell)
        points = list(_epoch_points(folder / "epochs.csv", started, finished))
        points += _summary_points(record, finished)
        tags = _tags(record, grid, [name for name, v in parameters.items() if _too_long(v)])
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        reason = f"no field {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"the record in {folder} is damaged: {reason}") from error
    return Content(
        slug=folder.name,
        name=name,
        dataset=dataset,
        parameters=cut_parameters(parameters),
        points=points,
        tags={metric_key(name): _cut(value, TAG_LIMIT) for name, value in tags.items()},
        files=record_files(folder),
        started=started,
        finished=max(started, finished),
    )


def read_parameters(cell: dict[str, Any]) -> dict[str, str]:
    """Every field of a cell as MLflow names it, at its full length.

    Later axes that the cell leaves out have their defaults, so that runs can be found by them.
    """
    later = {
        axis.name: axis.default for axis in AXES.values() if axis.since and axis.section is None
    }
    found = {name: value for name, value in later.items() if name not in cell}
    return {
        metric_key(name): value if isinstance(value, str) else json.dumps(value)
        for name, value in [*flatten(cell), *found.items()]
    }


def cut_parameters(parameters: dict[str, str]) -> dict[str, str]:
    """Parameters no longer than MLflow takes them."""
    return {name: _cut(value, PARAMETER_LIMIT) for name, value in parameters.items()}


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested dictionaries under dotted names.

    ``name`` stands for its parent and ``options`` adds no level, so that
    ``{"objective": {"name": "pgd-at", "options": {"epsilon": 0.1}}}`` gives ``objective`` and
    ``objective.epsilon``.
    """
    if not isinstance(value, dict):
        yield prefix, value
        return
    for key, inner in value.items():
        inlined = prefix and key in ("name", "options")
        yield from flatten(inner, prefix if inlined else f"{prefix}.{key}".lstrip("."))


def _epoch_points(path: Path, started: int, finished: int) -> Iterator[Point]:
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    last = max((int(row["epoch"]) for row in rows), default=1)
    for row in rows:
        epoch = int(row.pop("epoch"))
        # When an epoch ended is not recorded: spread them evenly, the same on every sync.
        timestamp = started + (finished - started) * epoch // last
        for name, text in row.items():
            if text:
                yield Point(metric_key(name), float(text), epoch, timestamp)


def summary(record: dict[str, Any]) -> dict[str, float]:
    """What a record has beside its epochs: costs, seconds, sparsity, final and best results."""
    return {point.name: point.value for point in _summary_points(record, 0)}


def _summary_points(record: dict[str, Any], finished: int) -> Iterator[Point]:
    costs = record["costs"]
    sparsity = {k: v for k, v in (record.get("sparsity") or {}).items() if k != "layers"}
    blocks = {"costs": costs, "seconds": record.get("seconds"), "sparsity": sparsity}
    # A diverged cell has no results.
    for block, values in (blocks | (record.get("results") or {})).items():
        if not values:
            continue
        step = int(values.get("epoch") or costs["epochs"])
        for name, value in flatten(values, block):
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield Point(metric_key(name), float(value), step, finished)


def _tags(record: dict[str, Any], grid: str, cut: list[str]) -> dict[str, str]:
    provenance = record["provenance"]
    tags = {
        "agc.cell": record["slug"],
        "agc.grid": grid,
        "agc.status": record["status"],
        "mlflow.source.name": "agc",
        "mlflow.source.type": "LOCAL",
    }
    if record.get("diverged_epoch") is not None:
        tags["agc.diverged_epoch"] = str(record["diverged_epoch"])
    if provenance.get("git_commit"):
        tags["mlflow.source.git.commit"] = provenance["git_commit"]
    for name, value in flatten(provenance, "provenance"):
        if value is not None:
            tags[name] = str(value)
    notes = list(record.get("warnings") or [])
    notes += [f"Cut to {PARAMETER_LIMIT} characters: parameter {name}." for name in cut]
    if notes:
        tags["mlflow.note.content"] = "\n\n".join(notes)
    return tags


def _milliseconds(moment: str) -> int:
    parsed = datetime.fromisoformat(moment)
    parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return math.floor(parsed.timestamp() * 1000)


def metric_key(name: str) -> str:
    """A name with only those characters that MLflow allows."""
    return re.sub(r"[^/\w.\- ]", "_", name)[:250]


def _too_long(value: str) -> bool:
    return len(value) > PARAMETER_LIMIT


def _cut(value: str, limit: int) -> str:
    return value if len(value) <= limit else value[: limit - 1] + "…"
