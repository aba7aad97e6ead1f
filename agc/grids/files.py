"""What may stand in a grid file and in a recipe file, as types."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

Entry = str | dict[str, Any]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Recipe(_Strict):
    """Hyper-parameters that cells share.

    Attributes:
        training: fields of :class:`agc.grids.cell.Training`.
        evaluation: fields of :class:`agc.grids.cell.Evaluation`.
        options: per axis and entry; under ``"*"`` for every entry that has the option.
    """

    training: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}
    options: dict[str, dict[str, dict[str, Any]]] = {}


class Exclusion(_Strict):
    """Cells to leave out, and why."""

    where: dict[str, Any] = Field(min_length=1)
    reason: str = Field(min_length=1)


class Reference(_Strict):
    """What a finished run of the grid measured, for predictions before anything has run."""

    machine: str
    seconds_per_unit: float = Field(gt=0)
    seconds_per_cell: float = Field(ge=0)
    megabytes_per_cell: float = Field(gt=0)


class GridFile(_Strict):
    """A grid file as it stands on the disk.

    Attributes:
        recipe: one recipe, or several as an axis of their own.
        include: further cells, given by their fields; a field with a list stands for all of its
            values, and several such fields for their product. ``recipe`` may be given too.
        exclude: combinations to leave out, with the reason.
        reference: what a run of the grid has measured.
    """

    description: str
    recipe: str | list[str]
    datasets: list[Entry] = Field(min_length=1)
    architectures: list[Entry] = Field(min_length=1)
    objectives: list[Entry] = Field(min_length=1)
    methods: list[Entry] = Field(min_length=1)
    sparsities: list[float] = []
    corrections: list[Entry] = Field(min_length=1)
    seeds: int | list[int]
    include: list[dict[str, Any]] = []
    exclude: list[Exclusion] = []
    reference: Reference | None = None
