"""The combinations that a grid file names, before anything is known of them."""

from __future__ import annotations

from itertools import product
from typing import Any

from agc.grids.axes import AXES
from agc.grids.files import GridFile
from agc.grids.recipes import read_entry
from agc.registry import METHODS


def combinations(file: GridFile) -> list[dict[str, Any]]:
    """The fields of each cell that a file names, with the name of its recipe; some may be of one
    cell, or of none.
    """
    return [*_product(file, file.recipes), *_included(file, file.recipes)]


def _product(file: GridFile, recipes: list[str]) -> list[dict[str, Any]]:
    """All combinations; the seed varies fastest, so that a grid's runs finish row by row."""
    axes: dict[str, list[Any]] = {"recipe": recipes}
    for axis in AXES:
        if entries := file.entries(axis):
            axes[axis] = entries
        if axis == "method":
            axes["sparsity"] = file.sparsities or [0.0]
    seeds = list(range(file.seeds)) if isinstance(file.seeds, int) else file.seeds
    return _combinations({**axes, "seed": seeds})


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


def collapse(fields: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """A cell's fields, and whether its method has no sparsity: it takes none, whatever the grid's
    sparsities are.
    """
    name, _ = read_entry("method", fields.get("method", "dense"))
    if METHODS[name].target.sparse:
        return fields, False
    return {**fields, "sparsity": 0.0}, True
