"""Recipes: what cells share, laid under what each of them says itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agc.errors import UserError, unknown
from agc.grids.axes import AXES, Axis
from agc.grids.cell import read_cell
from agc.grids.files import Recipe, read_file
from agc.grids.settings import Choice, Optimizer
from agc.places import find_file

SETTINGS = frozenset(Optimizer.model_fields) - frozenset(Choice.model_fields)
"""What a recipe says to all optimizers."""


def read_recipe(path: Path) -> Recipe:
    """Read a recipe file.

    Raises:
        UserError: not there, not YAML, or an unknown key, entry or option.
    """
    recipe = read_file(path, Recipe)
    for name, entries in recipe.options.items():
        if name not in AXES:
            raise UserError(f"{path}: options: {unknown('axis', name, AXES)}")
        for entry, options in entries.items():
            try:
                known = _known_options(AXES[name], entry)
            except UserError as error:
                raise UserError(f"{path}: options: {error}") from error
            for key in options:
                if known is not None and key not in known:
                    what = f"option of {name} {entry!r}"
                    raise UserError(f"{path}: options: {unknown(what, key, known)}")
    return recipe


def apply_recipe(
    fields: dict[str, Any], recipe: Recipe, workflows: Path | None = None
) -> dict[str, Any]:
    """Plain data of a cell: the recipe's values, overridden by those of ``fields``.

    A cell that it starts from may be given by its fields over a recipe of its own, or by the path
    of its description.

    Args:
        fields: of the cell.
        recipe: below them.
        workflows: where that other recipe is first looked for.

    Raises:
        UserError: an entry is neither a name nor a mapping with one, or an optimizer does not take
            what is said to it.
    """
    data = {key: value for key, value in fields.items() if key != "optimizer"}
    for section in ("training", "evaluation"):
        own = fields.get(section, {})
        data[section] = merge(getattr(recipe, section), own) if isinstance(own, dict) else own
    for axis in AXES.values():
        if axis.name in fields and axis.section is None:
            name, own = read_entry(axis.name, fields[axis.name])
            data[axis.name] = {"name": name, "options": _options(axis, name, own, recipe)}
    if isinstance(data["training"], dict):
        data["training"] |= _optimizer(fields, recipe)
        data["training"] = _with_source(data, workflows)
    return data


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Nested dictionaries merged, those of ``above`` winning."""
    out = dict(below)
    for key, value in above.items():
        nested = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = merge(out[key], value) if nested else value
    return out


def read_entry(axis: str, value: Any) -> tuple[str, dict[str, Any]]:
    """Name and options of an entry that a file gives as a name or as a mapping."""
    chosen = {"name": value} if isinstance(value, str) else value
    if not isinstance(chosen, dict) or not isinstance(chosen.get("name"), str):
        raise UserError(f"{axis}: {value!r} is neither a name nor a mapping with a name")
    options = chosen.get("options", {})
    if not isinstance(options, dict):
        raise UserError(f"{axis}.options = {options!r}: expected keys and values")
    beside = {key: v for key, v in chosen.items() if key not in ("name", "options")}
    return chosen["name"], {**options, **beside}


def _with_source(data: dict[str, Any], workflows: Path | None) -> dict[str, Any]:
    """The part ``training`` of a cell, with the whole of the cell that it starts from.

    That one has its data set and its network, and is trained densely in the standard way, unless
    its own fields say otherwise.
    """
    training = data["training"]
    start = training.get("start")
    given = start.get("cell") if isinstance(start, dict) else None
    if isinstance(given, str):
        path = Path(given)
        source = read_cell(path / "cell.json" if path.is_dir() else path).model_dump(mode="json")
    elif isinstance(given, dict) and "recipe" in given:
        own = {key: value for key, value in given.items() if key != "recipe"}
        shared = {key: data[key] for key in ("dataset", "architecture") if key in data}
        recipe = read_recipe(find_file("recipes", given["recipe"], workflows))
        source = apply_recipe({**shared, **own}, recipe, workflows)
    else:
        return training  # a whole description, or nothing that validation lets pass
    return {**training, "start": {**start, "cell": source}}


def _known_options(axis: Axis, entry: str) -> set[str] | None:
    """Options of an entry, or of all entries together under ``"*"``; None if any may be given."""
    names = axis.registry.names() if entry == "*" else [entry]
    known = [axis.registry.option_names(name) for name in names]
    return None if None in known else set().union(*filter(None, known))


def _options(axis: Axis, name: str, own: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Options of an entry: of those that the recipe gives all the ones it has, then its own."""
    given = recipe.options.get(axis.name, {})
    known = axis.registry.option_names(name) or ()
    shared = {key: value for key, value in given.get("*", {}).items() if key in known}
    return {**shared, **given.get(name, {}), **own}


def _optimizer(fields: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """The optimizer's part of ``training``: the recipe's, and above it the entry of the axis.

    An optimizer takes of a recipe's settings those that it has. What is said to it by name, in a
    recipe that names it or in ``fields``, it must take.
    """
    axis = AXES["optimizer"]
    below, above = recipe.training.get("optimizer", {}), fields.get("training", {})
    above = above.get("optimizer", {}) if isinstance(above, dict) else {}
    if not isinstance(below, dict) or not isinstance(above, dict):
        return {}  # validation names the key
    usual = above.get("name", below.get("name", axis.default))
    entry = fields.get("optimizer", usual)
    entry = {"name": usual, **entry} if isinstance(entry, dict) else entry
    if not isinstance(usual, str):
        return {}
    name, said = read_entry("optimizer", entry)
    below_it = below if name == below.get("name", axis.default) else {}
    told = {**below_it, **above, **{key: said.pop(key) for key in SETTINGS & set(said)}}
    for key in sorted(SETTINGS & set(told) - axis.registry.takes(name)):
        raise UserError(f"optimizer {name!r} takes no {key}, got {told[key]!r}")
    for layer in (above, below_it):
        only = {"name": name, "options": layer.get("options", {})}
        said = read_entry("training.optimizer", only)[1] | said
    options = _options(axis, name, said, recipe)
    return {"optimizer": {**below, **told, "name": name, "options": options}}
