"""Which entries of the axes make no cell together, and why; asked of the entries themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from agc.errors import UserError
from agc.grids.axes import AXES
from agc.grids.cell import make_cell
from agc.grids.files import Entry, GridFile, Recipe
from agc.grids.grid import read_grid
from agc.grids.product import collapse
from agc.grids.recipes import apply_recipe, read_entry, read_recipe
from agc.places import find_file

PLAIN = "plain"
SPARSITY = 0.9
"""Of sparse methods where the grid has no sparsity."""


@dataclass(frozen=True)
class Refusal:
    """An entry that is refused, alone or with each of some entries of another axis.

    Attributes:
        entry: the axis and the name.
        axis: the other axis; empty where the grid's settings forbid the entry by themselves.
        partners: the names there.
        reason: why.
    """

    entry: str
    axis: str
    partners: tuple[str, ...]
    reason: str

    @property
    def with_what(self) -> str:
        """The partners in words."""
        return f"{self.axis} {', '.join(self.partners)}" if self.partners else "these settings"


def refusals(name: str) -> list[Refusal]:
    """What is refused among all entries of two axes, under the first recipe of a grid.

    Everything else is plain: the grid's first data set and architecture, its highest sparsity, and
    the defaults of the other axes. An entry that the grid lists is taken with the options that it
    has there.

    Raises:
        UserError: no such grid or recipe, one that cannot be read, or a joint grid.
    """
    path, file = read_grid(name)
    if file.grids:
        raise UserError(
            f"{path} has no axes of its own; ask one of its grids: {', '.join(file.grids)}"
        )
    recipe = read_recipe(find_file("recipes", file.recipes[0], path.parent.parent))
    entries = {axis: _entries(axis, file) for axis in AXES}
    plain = _plain(file)
    found: dict[tuple[str, str, str], list[str]] = {}
    alone: set[tuple[str, str]] = set()
    for axis, known in entries.items():
        for one, entry in known.items():
            reason = _reason({**plain, axis: entry}, recipe)
            if reason is not None:
                alone.add((axis, one))
                found[f"{axis} {one}", "", reason] = []
    for (axis, one), (other, two) in _pairs(entries):
        if {(axis, one), (other, two)} & alone:
            continue
        fields = {**plain, axis: entries[axis][one], other: entries[other][two]}
        reason = _reason(fields, recipe)
        if reason is not None:
            found.setdefault((f"{axis} {one}", other, reason), []).append(two)
    return [
        Refusal(entry, other, tuple(names), reason)
        for (entry, other, reason), names in found.items()
    ]


def _entries(axis: str, file: GridFile) -> dict[str, Entry]:
    """All that are registered, and what the grid has of the library behind the axis."""
    listed = {read_entry(axis, entry)[0]: entry for entry in file.entries(axis)}
    return {name: name for name in AXES[axis].registry.names()} | listed


def _plain(file: GridFile) -> dict[str, Any]:
    fields = {name: axis.default or file.entries(name)[0] for name, axis in AXES.items()}
    # The recipe says what is used where a grid has no entry of such an axis.
    fields = {name: value for name, value in fields.items() if AXES[name].section is None}
    return {**fields, "sparsity": max(file.sparsities, default=SPARSITY)}


def _pairs(
    entries: dict[str, dict[str, Entry]],
) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    for axis, other in combinations(entries, 2):
        for one in entries[axis]:
            for two in entries[other]:
                yield (axis, one), (other, two)


def _reason(fields: dict[str, Any], recipe: Recipe) -> str | None:
    try:
        make_cell(apply_recipe(collapse(fields)[0], recipe), PLAIN)
    except UserError as error:
        return str(error).removeprefix(f"{PLAIN}: ")
    return None
