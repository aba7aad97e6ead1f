"""One cell from the options of a command, over its recipe."""

from __future__ import annotations

from typing import Any

from agc.errors import UserError
from agc.grids.axes import AXES
from agc.grids.cell import Cell, make_cell
from agc.grids.files import Recipe
from agc.grids.recipes import apply_recipe, merge, read_recipe
from agc.places import find_file, known_files
from agc.registry import DATASETS

NO_RECIPE = "none"
"""Asks for the defaults of the code instead of a recipe."""


def cell_from_options(
    fields: dict[str, Any], recipe: str | None, epochs: int | None, settings: list[tuple[str, Any]]
) -> Cell:
    """The cell that the options describe, over a recipe: the one named, or the data set's own.

    Raises:
        UserError: no recipe was named and none has the data set's name, or the one there is is
            invalid; an unknown entry or key, an impossible value.
    """
    base = _recipe(recipe, fields["dataset"])
    if epochs is not None:
        fields = merge(fields, {"training": {"epochs": epochs}})
    for key, value in settings:
        fields = merge(fields, _nested(key, value, fields))
    return make_cell(apply_recipe(fields, base), "options")


def _recipe(name: str | None, dataset: str) -> Recipe:
    """The recipe of a cell. Nothing takes its place: other hyper-parameters are another cell."""
    if name == NO_RECIPE:
        return Recipe()
    if name is not None:
        return read_recipe(find_file("recipes", name))
    known = known_files("recipes")
    if dataset in known:
        return read_recipe(known[dataset])
    entry = DATASETS[dataset]  # of a misspelt one that is what to say
    raise UserError(
        f"data set {entry.name!r} has no recipe of its name: give --recipe {NO_RECIPE} for the "
        f"defaults, or one of {', '.join(sorted(known))}"
    )


def _nested(key: str, value: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """``a.b`` as nested dictionaries; an axis given by name becomes a mapping first."""
    first, *rest = key.split(".")
    for part in reversed(rest):
        value = {part: value}
    if first in AXES and isinstance(value, dict):
        present = fields.get(first, {})
        value = merge({"name": present} if isinstance(present, str) else present, value)
    return {first: value}
