"""Which cells share a process."""

from __future__ import annotations

import math
from collections.abc import Sequence

from agc.grids.cell import Cell, sources
from agc.planning.declared import units


def bundle(cells: Sequence[Cell], size: int) -> list[list[Cell]]:
    """Split cells into processes of about ``size`` cells and about equal cost.

    The most expensive cell goes to the cheapest bundle so far, and so on. The outcome depends on
    which cells there are alone, so that every process of a workflow sees the same bundles. Cells
    of a bundle have as many devices, so that none is taken in vain, and none of them starts from
    another one's weights.
    """
    groups: dict[tuple[int, int], list[Cell]] = {}
    for cell in cells:
        key = (cell.training.devices, sum(1 for _ in sources(cell)))
        groups.setdefault(key, []).append(cell)
    return [cells for key in sorted(groups) for cells in _balanced(groups[key], size)]


def _balanced(cells: Sequence[Cell], size: int) -> list[list[Cell]]:
    count = math.ceil(len(cells) / size)
    bundles: list[list[Cell]] = [[] for _ in range(count)]
    loads = [0.0] * count
    for cell in sorted(cells, key=lambda cell: (-units(cell), cell.slug)):
        lightest = loads.index(min(loads))
        bundles[lightest].append(cell)
        loads[lightest] += units(cell)
    return bundles
