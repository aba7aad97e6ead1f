"""One cell from the options of a command, over its recipe."""

from __future__ import annotations

from typing import Any

import yaml

from agc.errors import UserError
from agc.grids.cell import AXIS_NAMES, Cell, make_cell
from agc.grids.files import Recipe
from agc.grids.grid import apply_recipe, find_file, merge, read_recipe


def cell_from_options(
    fields: dict[str, Any], recipe: str | None, epochs: int | None, settings: list[str]
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
    for setting in settings:
        fields = merge(fields, parse_setting(setting, fields))
    return make_cell(apply_recipe(fields, base), "options")


def parse_setting(setting: str, fields: dict[str, Any]) -> dict[str, Any]:
    """``a.b=1`` as nested dictionaries; an axis given by name becomes a mapping first."""
    key, equals, text = setting.partition("=")
    if not equals:
        raise UserError(f"--set {setting!r}: expected KEY=VALUE")
    try:
        value: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"--set {setting!r}: the value is not YAML") from error
    first, *rest = key.split(".")
    for part in reversed(rest):
        value = {part: value}
    if first in AXIS_NAMES and isinstance(value, dict):
        present = fields[first]
        value = merge({"name": present} if isinstance(present, str) else present, value)
    return {first: value}
