"""One cell from the options of a command, over its recipe."""

from __future__ import annotations

from typing import Any

from agc.errors import UserError
from agc.grids.axes import AXES
from agc.grids.cell import Cell, make_cell
from agc.grids.files import Recipe
from agc.grids.grid import find_file
from agc.grids.recipes import apply_recipe, merge, read_recipe


def cell_from_options(
    fields: dict[str, Any], recipe: str | None, epochs: int | None, settings: list[tuple[str, Any]]
) -> Cell:
    """The cell that the options describe, over the recipe named or the data set's own."""
    try:
        base = read_recipe(find_file("recipes", recipe or fields["dataset"]))
    except UserError:
        if recipe is not None:
            raise
        base = Recipe()
    if epochs is not None:
        fields = merge(fields, {"training": {"epochs": epochs}})
    for key, value in settings:
        fields = merge(fields, _nested(key, value, fields))
    return make_cell(apply_recipe(fields, base), "options")


def _nested(key: str, value: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """``a.b`` as nested dictionaries; an axis given by name becomes a mapping first."""
    first, *rest = key.split(".")
    for part in reversed(rest):
        value = {part: value}
    if first in AXES and isinstance(value, dict):
        present = fields.get(first, {})
        value = merge({"name": present} if isinstance(present, str) else present, value)
    return {first: value}
