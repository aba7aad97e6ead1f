"""The axes of a cell, in one table: whatever knows all of them reads it here.

From it come the fields of a cell, the keys of a grid file and their product, the options of
``agc train``, what ``agc list`` shows, labels, the columns of tables and the rows of comparisons.
A new axis is a folder of entries with its registry, and one line below.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

from agc.architectures import ARCHITECTURES
from agc.registry import (
    COMMUNICATION,
    CORRECTIONS,
    DATASETS,
    METHODS,
    OBJECTIVES,
    OPTIMIZERS,
    QUANTIZATIONS,
    Registry,
)


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        name: of the cell's field, of the option of ``agc train``, of columns.
        registry: its entries.
        default: the entry of a cell that names none; None if each cell must name one.
        since: the version of agc that brought it, None if cells had it from the first on. A cell
            with the default of a later axis has neither its field nor its name in the slug, so
            that it stays the cell that it was before.
        section: the part of a cell in which its entry stands, and of a recipe, where it has one.
        several: key of a grid file, if it is not the plural of the name.
        control: the entry that others are compared with, if it is not the default.
        help: what ``agc train --help`` says.
    """

    name: str
    registry: Registry
    default: str | None = None
    since: str | None = None
    section: str | None = None
    several: str | None = None
    control: str | None = None
    help: str = ""

    @property
    def plural(self) -> str:
        """Key of a grid file, and argument of ``agc list``."""
        if self.several:
            return self.several
        return f"{self.name[:-1]}ies" if self.name.endswith("y") else f"{self.name}s"

    @property
    def measure(self) -> str | None:
        """The entry that others are compared with."""
        return self.control or self.default

    @property
    def path(self) -> tuple[str, ...]:
        """Where its entry stands in a cell."""
        return (self.section, self.name) if self.section else (self.name,)

    def of(self, cell: Any) -> Any:
        """The entry that a cell has on this axis, with ``name`` and ``options``."""
        return reduce(getattr, self.path, cell)

    def dumped(self, cell: dict[str, Any]) -> dict[str, Any]:
        """The same of a cell as plain data: what it leaves out has its default."""
        found = reduce(lambda place, key: place.get(key, {}), self.path, cell)
        return {
            "name": found.get("name", self.default),
            "options": found.get("options", {}),
        }

    def shows(self, name: str) -> bool:
        """Whether a slug names the entry.

        A later axis names its own entries, but neither the default nor those of a library: cells
        had these before it was an axis, and keep their names.
        """
        return self.since is None or (name != self.default and name in self.registry.names())


AXES: dict[str, Axis] = {
    axis.name: axis
    for axis in (
        Axis("dataset", DATASETS, help="Data set."),
        Axis("architecture", ARCHITECTURES, help="Any timm network, or ours."),
        Axis("objective", OBJECTIVES, "standard", help="Objective."),
        Axis("method", METHODS, "dense", help="Sparse-training method."),
        Axis("correction", CORRECTIONS, "none", help="Gradient correction."),
        Axis(
            "optimizer",
            OPTIMIZERS,
            "sgd",
            since="0.1",
            section="training",
            help="Optimizer, ours or timm's; the recipe's if left out.",
        ),
        Axis("quantization", QUANTIZATIONS, "none", since="0.1", help="Bits of the numbers."),
        Axis(
            "communication",
            COMMUNICATION,
            "none",
            since="0.1",
            several="communication",
            control="all-reduce",
            help="How workers share a step.",
        ),
    )
}


def resolved(axis: Axis, value: Any) -> Any:
    """A name, a mapping or an entry as a mapping with all of its options.

    What is none of these is left for the caller's validation.

    Raises:
        UserError: unknown name or option, or a value that is not allowed.
    """
    if isinstance(value, str):
        value = {"name": value}
    elif hasattr(value, "model_dump"):
        value = value.model_dump()
    name = value.get("name") if isinstance(value, dict) else None
    options = value.get("options", {}) if isinstance(value, dict) else None
    if not isinstance(name, str) or not isinstance(options, dict):
        return value
    return {**value, "options": axis.registry.resolve(name, options)}
