"""A grid file turned into cells: product of its axes, then include and exclude with reasons."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from agc.architectures import own_names, timm_names
from agc.errors import UserError, unknown
from agc.grids.cell import AXES, AXIS_NAMES, Cell, describe, make_cell
from agc.grids.files import Exclusion, GridFile, Recipe
from agc.places import find_file
from agc.registry import DATASETS, METHODS

FIELDS = (*AXIS_NAMES, "sparsity", "seed")
"""What an exclusion may look at."""

RESERVED = ("cells", "logs", "benchmarks", "mlartifacts", "mlflow.db")
"""What a results folder holds beside a folder for each grid."""


@dataclass(frozen=True)
class Skip:
    """Combinations that are no cells of their own."""

    count: int
    what: str
    reason: str


@dataclass(frozen=True)
class Grid:
    """A named set of cells."""

    name: str
    path: Path
    file: GridFile
    cells: tuple[Cell, ...]
    skips: tuple[Skip, ...] = field(default=())


def load_grid(name: str, workflows: Path | None = None) -> Grid:
    """Load a grid by path, or by name: ``grids/NAME.yaml`` of ``workflows`` if given, of the
    present folder's ``workflows/`` or of the package. Its recipes are first looked for beside it.

    Raises:
        UserError: no such grid, a key misspelt, an unknown entry, an impossible value; the
            message names the file and the key.
    """
    path = find_file("grids", name, workflows)
    # It becomes a folder of the results and the reports: `...yaml` would be the one above them.
    if not re.fullmatch(r"\w[\w+. -]*", path.stem) or path.stem in RESERVED:
        raise UserError(
            f"{path}: {path.stem!r} is no name for a grid; it begins with a letter or a digit, "
            f"goes on with those and ' +.-_', and is none of {', '.join(RESERVED)}"
        )
    file = _read(path, GridFile)
    names = [file.recipe] if isinstance(file.recipe, str) else file.recipe
    folder = path.parent.parent
    recipes: dict[str, tuple[Path, Recipe]] = {}
    for key in (key for exclusion in file.exclude for key in exclusion.where):
        if key not in FIELDS:
            raise UserError(f"{path}: exclude: {unknown('field', key, FIELDS)}")
    cells: dict[str, Cell] = {}
    skips: dict[tuple[str, str], int] = {}
    for fields in [*_product(file, names), *_included(file, names)]:
        name = fields.pop("recipe")
        if name not in recipes:
            found = find_file("recipes", name, folder)
            recipes[name] = found, read_recipe(found)
        recipe_path, recipe = recipes[name]
        try:
            fields, collapsed = _collapse(fields)
            data = apply_recipe(fields, recipe)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        cell = make_cell(data, f"{path} with {recipe_path.name}")
        if DATASETS[cell.dataset.name].facts.get("benchmark_only"):
            raise UserError(
                f"{path}: dataset {cell.dataset.name!r} is made up for tests and benchmarks, and "
                "belongs in no table: no grid takes it"
            )
        excluded = next((e for e in file.exclude if _matches(cell, e)), None)
        if excluded is not None:
            key = (", ".join(f"{k} {v}" for k, v in excluded.where.items()), excluded.reason)
            skips[key] = skips.get(key, 0) + 1
        elif cell.slug in cells:
            reason = "it has no sparsity: one cell for all of them" if collapsed else "a duplicate"
            key = (f"method {cell.method.name}" if collapsed else cell.slug, reason)
            skips[key] = skips.get(key, 0) + 1
        else:
            cells[cell.slug] = cell
    if not cells:
        raise UserError(f"{path}: no cell is left")
    listed = tuple(Skip(count, what, reason) for (what, reason), count in skips.items())
    return Grid(path.stem, path, file, tuple(cells.values()), listed)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe file.

    Raises:
        UserError: not there, not YAML, or an unknown key, entry or option.
    """
    recipe = _read(path, Recipe)
    for axis, entries in recipe.options.items():
        if axis not in AXIS_NAMES:
            raise UserError(f"{path}: options: {unknown('axis', axis, AXIS_NAMES)}")
        if axis not in AXES:
            names, known = [*own_names(), *timm_names()], {}
        else:
            names = AXES[axis].names()
            known = {name: set(AXES[axis].options(name).model_fields) for name in names}
            known["*"] = set().union(*known.values())
        for name, options in entries.items():
            if name not in ("*", *names):
                raise UserError(f"{path}: options: {unknown(axis, name, names)}")
            for key in options:
                if name in known and key not in known[name]:
                    what = f"option of {axis} {name!r}"
                    raise UserError(f"{path}: options: {unknown(what, key, known[name])}")
    return recipe


def apply_recipe(fields: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Plain data of a cell: the recipe's values, overridden by those of ``fields``."""
    data = dict(fields)
    for section in ("training", "evaluation"):
        own = fields.get(section, {})
        data[section] = merge(getattr(recipe, section), own) if isinstance(own, dict) else own
    for axis in AXIS_NAMES:
        if axis not in fields:
            continue
        name, own = _entry(axis, fields[axis])
        given = recipe.options.get(axis, {})
        known = AXES[axis].options(name).model_fields if axis in AXES else {}
        shared = {key: v for key, v in given.get("*", {}).items() if key in known}
        data[axis] = {"name": name, "options": {**shared, **given.get(name, {}), **own}}
    return data


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Nested dictionaries merged, those of ``above`` winning."""
    out = dict(below)
    for key, value in above.items():
        nested = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = merge(out[key], value) if nested else value
    return out


def _read(path: Path, model: type[Any]) -> Any:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
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


def _product(file: GridFile, recipes: list[str]) -> list[dict[str, Any]]:
    """All combinations; the seed varies fastest, so that a grid's runs finish row by row."""
    seeds = list(range(file.seeds)) if isinstance(file.seeds, int) else file.seeds
    return _combinations(
        {
            "recipe": recipes,
            "dataset": file.datasets,
            "architecture": file.architectures,
            "method": file.methods,
            "sparsity": file.sparsities or [0.0],
            "objective": file.objectives,
            "correction": file.corrections,
            "seed": seeds,
        }
    )


def _included(file: GridFile, recipes: list[str]) -> list[dict[str, Any]]:
    """The cells that are given by themselves, under the first recipe unless they name one."""
    listed = []
    for fields in file.include:
        given = {"recipe": recipes[0], **fields}
        axes = {key: v if isinstance(v, list) else [v] for key, v in given.items()}
        listed += _combinations(axes)
    return listed


def _combinations(axes: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def _collapse(fields: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """A method without sparsity takes none, whatever the grid's sparsities are."""
    name, _ = _entry("method", fields.get("method", "dense"))
    if METHODS[name].target.sparse:
        return fields, False
    return {**fields, "sparsity": 0.0}, True


def _entry(axis: str, value: Any) -> tuple[str, dict[str, Any]]:
    """Name and options of an entry that a file gives as a name or as a mapping."""
    chosen = {"name": value} if isinstance(value, str) else value
    if not isinstance(chosen, dict) or not isinstance(chosen.get("name"), str):
        raise UserError(f"{axis}: {value!r} is neither a name nor a mapping with a name")
    options = chosen.get("options", {})
    if not isinstance(options, dict):
        raise UserError(f"{axis}.options = {options!r}: expected keys and values")
    beside = {key: v for key, v in chosen.items() if key not in ("name", "options")}
    return chosen["name"], {**options, **beside}


def _matches(cell: Cell, exclusion: Exclusion) -> bool:
    fields = {axis: getattr(cell, axis).name for axis in AXIS_NAMES}
    fields |= {"sparsity": cell.sparsity, "seed": cell.seed}
    return all(
        fields[key] in (wanted if isinstance(wanted, list) else [wanted])
        for key, wanted in exclusion.where.items()
    )
