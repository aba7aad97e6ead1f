"""What may stand in a grid file and in a recipe file, as types."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from agc.errors import UserError, describe, unknown
from agc.files import parse_yaml
from agc.grids.axes import AXES
from agc.grids.joint import SCHEMA, check_keys
from agc.registry import Strict

Entry = str | dict[str, Any]


def _distinct(values: list[Any]) -> list[Any]:
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise ValueError(f"{twice[0]} is given twice")
    return values


class Recipe(Strict):
    """Hyper-parameters that cells share.

    Attributes:
        training: fields of :class:`agc.grids.cell.Training`.
        evaluation: fields of :class:`agc.grids.cell.Evaluation`.
        options: per axis and entry; under ``"*"`` for every entry that has the option.
    """

    training: dict[str, Any] = Field(default={})
    evaluation: dict[str, Any] = Field(default={})
    options: dict[str, dict[str, dict[str, Any]]] = Field(default={})


class Exclusion(Strict):
    """Cells to leave out, and why."""

    where: dict[str, Any] = Field(min_length=1)
    reason: str = Field(min_length=1)


class Reference(Strict):
    """What a finished run of the grid measured, for predictions before anything has run."""

    machine: str
    seconds_per_unit: float = Field(gt=0)
    seconds_per_cell: float = Field(ge=0)
    megabytes_per_cell: float = Field(gt=0)


class Margin(Strict):
    """The largest differences that do not matter, fixed before anything is run.

    Attributes:
        accuracy: of clean test accuracy, in percentage points.
        robust: of robust accuracy, in percentage points.
        epochs: ratio of epochs to equal error that would matter, below 1.
    """

    accuracy: float = Field(default=1.0, gt=0)
    robust: float = Field(default=1.0, gt=0)
    epochs: float = Field(default=0.8, gt=0, lt=1)


Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ArmRate(Strict):
    """The learning rate of the cells that ``where`` matches, as in :class:`Exclusion`."""

    where: dict[str, Any] = Field(min_length=1)
    lr: Rate


class Tuning(Strict):
    """The same budget for the learning rate of every arm (:mod:`agc.grids.tuning`).

    Attributes:
        lr: the learning rates that each arm tries, two at least.
        seeds: of the runs that try them; no cell of the grid has one of these.
        where: the cells whose arms are tuned, as in :class:`Exclusion`; all if left out. The others
            keep the rates of their recipes.
    """

    lr: list[Rate] = Field(min_length=2)
    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    where: dict[str, Any] = Field(default={})

    @field_validator("lr", "seeds")
    @classmethod
    def _each_once(cls, values: list[float]) -> list[float]:
        return _distinct(values)


class Precision(Strict):
    """When a row has seeds enough: a rule on its precision that never looks at its effect.

    Attributes:
        half_width: of the 95 % interval of a difference in accuracy, in percentage points.
        robust: the same of robust accuracy; ``half_width`` if left out.
        freedom: degrees of freedom that a spread needs to stop a row: those of ten seeds. A spread
            of few is small by chance often enough that intervals of 95 % hold the truth in 91 %
            of simulated studies of one row with three seeds at first; with this, in 94 or 95 %.
        block: seeds that a row gets at a time.
        cap: seeds that no row exceeds.
    """

    half_width: float = Field(gt=0)
    robust: float | None = Field(default=None, gt=0)
    freedom: int = Field(default=9, ge=1)
    block: int = Field(default=5, ge=1)
    cap: int = Field(default=20, ge=2)

    @property
    def rule(self) -> str:
        """The rule in words."""
        robust = "" if self.robust is None else f" ({self.robust:g} of robust accuracy)"
        return (
            f"blocks of {self.block} up to {self.cap} seeds, until the half-width of each 95 % "
            f"interval is at most {self.half_width:g} points{robust} by a pooled spread of "
            f"{self.freedom} degrees of freedom or more"
        )


RatesOrPath = Annotated[
    Annotated[str, Tag("path")] | Annotated[list[ArmRate], Field(min_length=1), Tag("list")],
    Discriminator(lambda value: "list" if isinstance(value, list) else "path"),
]
"""Where rates are, or the rates; told apart first, that a message is of the one that was meant."""


def _entries() -> dict[str, Any]:
    """A list for each axis, by its plural; those of later axes may be left out."""
    several = Annotated[list[Entry], Field(min_length=1)]
    return {axis.plural: (list[Entry] if axis.since else several, []) for axis in AXES.values()}


if TYPE_CHECKING:
    _Axes = Strict
else:
    _Axes = create_model("_Axes", __base__=Strict, **_entries())


class GridFile(_Axes):
    """A grid file as it stands on the disk.

    It has a list of entries for each axis (:mod:`agc.grids.axes`), beside the keys below. Or it is
    that of a joint grid, which has ``description``, ``grids``, perhaps ``margin``, and no other
    key: its cells are those of the grids that it names, each with its own recipes, learning rates
    and later seeds, and a cell of several of them is one.

    Attributes:
        grids: of a joint grid: names of grids, whose files are beside its own.
        recipe: one recipe, or several as an axis of their own.
        include: further cells, given by their fields; a field with a list stands for all of its
            values, and several such fields for their product. ``recipe`` may be given too.
        exclude: combinations to leave out, with the reason.
        reference: what a run of the grid has measured.
        margin: what its verdicts are judged by.
        tuning: the runs that choose its learning rates, which are the grid ``NAME-tuning``.
        learning_rates: path, from the grid's folder, of a ``tuning.csv``: each arm that is tuned
            trains with the learning rate that is chosen there, whatever its recipe says. Or the
            rates themselves: a cell has that of the first of the list that matches it, and must
            have one.
        precision: when its rows have seeds enough; None if that is no matter of a rule.
    """

    model_config = ConfigDict(json_schema_extra=SCHEMA)

    description: str
    grids: Annotated[list[str], Field(min_length=1)] = Field(default=[])
    recipe: str | list[str] = Field(default=[])
    sparsities: list[float] = Field(default=[])
    seeds: int | list[int] = Field(default=[])
    include: list[dict[str, Any]] = Field(default=[])
    exclude: list[Exclusion] = Field(default=[])
    reference: Reference | None = None
    margin: Margin = Margin()
    tuning: Tuning | None = None
    learning_rates: RatesOrPath | None = None
    precision: Precision | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_grids_or_of_axes(cls, data: Any) -> Any:
        if isinstance(data, dict):
            check_keys(data, cls.model_fields)
        return data

    @field_validator("grids")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        return _distinct(names)

    @property
    def recipes(self) -> list[str]:
        """Names of the recipes."""
        return [self.recipe] if isinstance(self.recipe, str) else self.recipe

    def entries(self, axis: str) -> list[Entry]:
        """What the file lists on an axis."""
        return getattr(self, AXES[axis].plural)


def read_file(path: Path, model: type[Any]) -> Any:
    """Read a YAML file as one of the types above.

    Raises:
        UserError: not there, not YAML, a key given twice, an unknown one, or an impossible value.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected keys and values, got {type(content).__name__}")
    for key in content:
        if key not in model.model_fields:
            raise UserError(f"{path}: {unknown('key', key, model.model_fields)}")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error)}") from error
