"""What tables name the cells of a grid by."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from agc.errors import UserError
from agc.grids.axes import AXES
from agc.reports.labels import in_full, label_cells, label_in_full

RATE = "lr"
"""Column of the learning rate, where it was chosen for each arm."""


def name_cells(
    cells: Mapping[str, dict[str, Any]], rates_by_arm: Collection[str] = ()
) -> dict[str, dict[str, Any]]:
    """What tables name cells by: ``slug``, their labels, and ``correction_in_full``; the same of a
    later axis whose entries are compared option by option.

    A learning rate that was chosen for an arm is a property of the arm, as its correction is: it
    stands in no recipe, that plain and corrected runs stay a pair, but in a column ``lr`` of its
    own, which tables without such cells lack.

    Args:
        cells: content of each, by slug.
        rates_by_arm: slugs of those whose learning rate was chosen for their arm.

    Raises:
        UserError: an arm has two such rates.
    """
    labels = label_cells(
        [_without_rate(cell) if slug in rates_by_arm else cell for slug, cell in cells.items()]
    )
    seen: dict[tuple[Any, ...], str] = {}
    names: dict[str, dict[str, Any]] = {}
    for (slug, cell), label in zip(cells.items(), labels, strict=True):
        names[slug] = {"slug": slug, **label}
        for axis in AXES.values():
            if axis.name == "correction" or (axis.control and axis.name in label):
                names[slug][in_full(axis.name)] = label_in_full(axis, cell)
        if rates_by_arm:
            names[slug][RATE] = cell["training"]["optimizer"]["lr"]
        if slug in rates_by_arm:
            run = (*label.values(), cell["sparsity"], cell["seed"])
            if (other := seen.setdefault(run, slug)) != slug:
                raise UserError(
                    f"cells {other} and {slug} differ in their learning rate alone, which was "
                    "chosen for the arm: an arm has one"
                )
    return names


def _without_rate(cell: dict[str, Any]) -> dict[str, Any]:
    optimizer = {k: v for k, v in cell["training"]["optimizer"].items() if k != "lr"}
    return {**cell, "training": {**cell["training"], "optimizer": optimizer}}
