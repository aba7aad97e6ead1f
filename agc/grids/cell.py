"""A cell: the only description of a training run. Typed, validated, hashable, free of torch."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from agc.architectures import own_names, timm_names
from agc.errors import UserError, describe, unknown
from agc.files import read_json, write_json
from agc.grids.settings import Evaluation, Strict, Training
from agc.registry import CORRECTIONS, DATASETS, METHODS, OBJECTIVES, Registry

SCHEMA = 1
"""Version of the files of a cell."""

REVISION = 1
"""Bumped by hand when a change of code changes results; part of every cell's hash."""


class Choice(Strict):
    """One entry of an axis, with its options."""

    name: str
    options: dict[str, Any] = Field(default={})


class Cell(Strict):
    """One training run: all that can change a number of its record, and nothing else."""

    dataset: Choice
    architecture: Choice
    objective: Choice = Choice(name="standard")
    method: Choice = Choice(name="dense")
    sparsity: Annotated[float, Field(ge=0, lt=1)] = 0.0
    correction: Choice = Choice(name="none")
    seed: Annotated[int, Field(ge=0)] = 0
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    revision: int = REVISION

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, data: Any) -> Any:
        """Fill in every option of every axis, so that the hash covers defaults too."""
        if not isinstance(data, dict):
            return data
        for axis, registry in AXES.items():
            if axis in data:
                data = {**data, axis: _resolved(data[axis], registry)}
        if "architecture" in data:
            data = {**data, "architecture": _architecture(data["architecture"])}
        return data

    @model_validator(mode="after")
    def _sparsity_fits_method(self) -> Cell:
        sparse = METHODS[self.method.name].target.sparse
        if sparse and self.sparsity == 0:
            raise ValueError(f"method {self.method.name!r} needs a sparsity above 0")
        if not sparse and self.sparsity != 0:
            raise ValueError(f"method {self.method.name!r} has no sparsity, got {self.sparsity:g}")
        return self

    @model_validator(mode="after")
    def _combination_makes_sense(self) -> Cell:
        correction = CORRECTIONS[self.correction.name].target
        if correction.fixed_batches and not self.training.fixed_batches:
            name = self.correction.name
            raise ValueError(f"correction {name!r} needs training.fixed_batches: true")
        reason = correction.refuse(self, **self.correction.options)
        if reason is not None:
            raise ValueError(reason)
        reason = METHODS[self.method.name].target.refuse(self, **self.method.options)
        if reason is not None:
            raise ValueError(f"method {self.method.name!r}: {reason}")
        objective = OBJECTIVES[self.objective.name].target
        reason = objective.refuse(**self.objective.options)
        if reason is not None:
            raise ValueError(f"objective {self.objective.name!r}: {reason}")
        if self.evaluation.validation_steps and not objective.adversarial:
            # Nothing would come of it, so it must not make another cell.
            object.__setattr__(
                self, "evaluation", self.evaluation.model_copy(update={"validation_steps": 0})
            )
        return self

    # Computed once: an interrupt within pydantic's serializer would come out as another error.
    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, hexadecimal."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def slug(self) -> str:
        """Readable and unique name, which is also the name of the cell's folder."""
        method = self.method.name + (f"-{self.sparsity:g}" if self.sparsity else "")
        parts = [
            self.dataset.name,
            self.architecture.name,
            self.objective.name,
            method,
            self.correction.name,
            f"s{self.seed}",
            self.digest[:8],
        ]
        return ".".join(re.sub(r"[^\w+.-]", "-", part) for part in parts)

    def write(self, folder: Path) -> None:
        """Write ``cell.json`` into the cell's folder."""
        content = {"schema": SCHEMA, "slug": self.slug, "cell": self.model_dump(mode="json")}
        write_json(folder / "cell.json", content)


AXES: dict[str, Registry] = {
    "dataset": DATASETS,
    "objective": OBJECTIVES,
    "method": METHODS,
    "correction": CORRECTIONS,
}
AXIS_NAMES = ("dataset", "architecture", "objective", "method", "correction")


def make_cell(data: dict[str, Any], source: str = "cell") -> Cell:
    """Validate plain data as a cell.

    Raises:
        UserError: with ``source`` and the key in its one line.
    """
    try:
        return Cell.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{source}: {describe(error)}") from error
    except UserError as error:
        raise UserError(f"{source}: {error}") from error


def read_cell(path: Path) -> Cell:
    """Read ``cell.json``.

    Raises:
        UserError: unreadable, another version, invalid, or its slug is not that of its content.
    """
    content = read_json(path)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else type(content).__name__
        raise UserError(f"{path}: schema {found!r}, this version of agc reads {SCHEMA}")
    cell = make_cell(content.get("cell", {}), str(path))
    if content.get("slug") != cell.slug:
        raise UserError(
            f"{path}: it says {content.get('slug')!r}, but its content is cell {cell.slug!r}"
        )
    return cell


def _resolved(value: Any, registry: Registry) -> Any:
    if isinstance(value, str):
        value = {"name": value}
    elif isinstance(value, Choice):
        value = value.model_dump()
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return value
    options = value.get("options", {})
    if not isinstance(options, dict):
        return value
    return {**value, "options": registry.resolve(value["name"], options)}


def _architecture(value: Any) -> Any:
    if isinstance(value, str):
        value = {"name": value}
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    if isinstance(name, str) and name not in own_names() and name not in timm_names():
        raise unknown("architecture", name, [*own_names(), *timm_names()])
    return value
