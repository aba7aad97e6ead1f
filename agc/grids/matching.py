"""Which cells a grid file means by ``where``: fields with a value, or with a list of values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agc.errors import UserError, unknown
from agc.grids.axes import AXES
from agc.grids.cell import Cell
from agc.grids.recipes import read_entry

FIELDS = (*AXES, "sparsity", "seed")
"""What may be looked at."""

Where = Mapping[str, Any]


def check_fields(wheres: Iterable[Where], source: str) -> None:
    """Refuse fields that no cell is matched by.

    Raises:
        UserError: with the first such field.
    """
    for key in (key for where in wheres for key in where):
        if key not in FIELDS:
            raise UserError(f"{source}: {unknown('field', key, FIELDS)}")


def matches(cell: Cell, where: Where, source: str) -> bool:
    """Whether a cell has, for each field, the value or one of the values.

    Args:
        cell: any.
        where: of an axis the name of an entry, or a mapping with options of it too; those that
            are not given do not count.
        source: key of the grid file, for messages.

    Raises:
        UserError: no such entry, or an option that it does not take.
    """
    return all(
        any(_has(cell, key, v, source) for v in (wanted if isinstance(wanted, list) else [wanted]))
        for key, wanted in where.items()
    )


def told(where: Where) -> str:
    """The fields and their values in words."""
    return ", ".join(
        f"{key} {' or '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in where.items()
    )


def _has(cell: Cell, key: str, value: Any, source: str) -> bool:
    """Whether a field is a value; of an entry the name is enough, or the options that are given."""
    if key not in AXES:
        return getattr(cell, key) == value
    name, wanted = read_entry(f"{source}: {key}", value)
    chosen = AXES[key].of(cell)
    if chosen.name != name:
        return False
    settings = {k for k in wanted if k in type(chosen).model_fields}
    options = {k: v for k, v in wanted.items() if k not in settings}
    whole = AXES[key].registry.resolve(name, options)
    return all(getattr(chosen, k) == wanted[k] for k in settings) and all(
        chosen.options.get(k) == whole.get(k) for k in options
    )
