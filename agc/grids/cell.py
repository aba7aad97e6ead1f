"""A cell: the only description of a training run. Typed, validated, hashable, free of torch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from agc.architectures import cell_calls
from agc.errors import UserError, describe
from agc.files import read_json, write_json
from agc.grids.axes import AXES, resolved
from agc.grids.settings import Choice, Evaluation, Training
from agc.grids.start import hashed
from agc.registry import CORRECTIONS, LATER, METHODS, OBJECTIVES, Strict

SCHEMA = 1
"""Version of the files of a cell."""

REVISION = 2
"""Bumped by hand when a change of code changes results; part of every cell's hash."""


def _fields() -> dict[str, Any]:
    """A field for each axis that stands by itself in a cell."""
    fields: dict[str, Any] = {}
    for axis in AXES.values():
        if axis.section is None:
            hint = Annotated[Choice, LATER] if axis.since else Choice
            fields[axis.name] = (hint, ... if axis.default is None else Choice(name=axis.default))
    return fields


if TYPE_CHECKING:
    _Axes = Strict
else:
    _Axes = create_model("_Axes", __base__=Strict, **_fields())


class Cell(_Axes):
    """One training run: all that can change a number of its record, and nothing else.

    It has a field for each axis (:mod:`agc.grids.axes`), beside the ones below.
    """

    sparsity: Annotated[float, Field(ge=0, lt=1)] = 0.0
    seed: Annotated[int, Field(ge=0)] = 0
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    revision: int = REVISION

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Choice: ...

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, data: Any) -> Any:
        """Fill in every option of every axis, so that the hash covers defaults too."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        for axis in AXES.values():
            if axis.section is None and axis.name in data:
                data[axis.name] = resolved(axis, data[axis.name])
                if axis.since and data[axis.name] == resolved(axis, axis.default):
                    del data[axis.name]
        return cls._with_source(data)

    @classmethod
    def _with_source(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Fill in every option of the cell that this one starts from, too."""
        training = data.get("training")
        start = training.get("start") if isinstance(training, dict) else None
        given = start.get("cell") if isinstance(start, dict) else None
        if not isinstance(given, dict):
            return data
        whole = cls.model_validate({"seed": 0, **given}).model_dump(mode="json")
        if "seed" not in given:
            del whole["seed"]
        return {**data, "training": {**training, "start": {**start, "cell": whole}}}

    @field_validator("evaluation")
    @classmethod
    def _without_what_comes_to_nothing(cls, value: Evaluation, info: ValidationInfo) -> Evaluation:
        """Only adversarial objectives attack validation images, and only equilibrium networks are
        attacked by JIIO: it must not make another cell.
        """
        objective, architecture = info.data.get("objective"), info.data.get("architecture")
        nothing: dict[str, Any] = {}
        if objective is not None and not OBJECTIVES[objective.name].target.adversarial:
            nothing["validation_steps"] = 0
        if architecture is not None and cell_calls(architecture) is None:
            nothing["jiio"] = Evaluation.model_fields["jiio"].default
        return value.model_copy(update=nothing)

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
        """Every axis may refuse the cell; a correction's reason names it already."""
        correction = self.correction.name
        if CORRECTIONS[correction].target.fixed_batches and not self.training.fixed_batches:
            raise ValueError(f"correction {correction!r} needs training.fixed_batches: true")
        for axis in AXES.values():
            chosen = axis.of(self)
            reason = axis.registry.refuse(chosen.name, self, chosen.options)
            if reason is not None:
                named = axis.registry is CORRECTIONS
                raise ValueError(reason if named else f"{axis.name} {chosen.name!r}: {reason}")
        return self

    @model_validator(mode="after")
    def _can_be_compiled(self) -> Cell:
        if self.training.compiled and (reason := self._uncompiled()):
            raise ValueError(f"training.compiled: {reason}")
        return self

    def _uncompiled(self) -> str | None:
        """Why a compiler cannot have the network, or None."""
        if self.training.devices > 1:
            return f"it is for one device, and {self.training.devices} train the network together"
        if self.quantization.name != "none":
            return f"quantization {self.quantization.name!r} changes its formats while it trains"
        if cell_calls(self.architecture) is not None:
            return "how often an equilibrium network calls its cell depends on its values"
        return None

    # Computed once: an interrupt within pydantic's serializer would come out as another error.
    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, hexadecimal."""
        content = hashed(self.model_dump(mode="json"))
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def source(self) -> Cell | None:
        """The cell that this one starts from, if it starts from one."""
        start = self.training.start
        if start is None or start.cell is None:
            return None
        return Cell.model_validate({"seed": self.seed, **start.cell})

    @cached_property
    def slug(self) -> str:
        """Readable and unique name, which is also the name of the cell's folder."""
        parts = []
        for axis in AXES.values():
            name = axis.of(self).name
            if axis.name == "method" and self.sparsity:
                name = f"{name}-{self.sparsity:g}"
            if axis.shows(axis.of(self).name):
                parts.append(name)
        parts += [f"s{self.seed}", self.digest[:8]]
        return ".".join(re.sub(r"[^\w+.-]", "-", part) for part in parts)

    def write(self, folder: Path) -> None:
        """Write ``cell.json`` into the cell's folder."""
        content = {"schema": SCHEMA, "slug": self.slug, "cell": self.model_dump(mode="json")}
        write_json(folder / "cell.json", content)


def sources(cell: Cell) -> Iterator[Cell]:
    """The cell that one starts from, the cell that this one starts from, and so on."""
    source = cell.source
    while source is not None:
        yield source
        source = source.source


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
