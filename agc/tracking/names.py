"""What the runs of a grid are called, and which of them make an arm: what differs comes first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agc.grids.axes import AXES
from agc.reports.arms import PLAIN, is_placebo
from agc.reports.labels import ARMS, label_cells

DOT = " · "


@dataclass
class Arm:
    """Cells of a grid that differ in their seed alone.

    Attributes:
        name: what tells the arm from the others, as ``rigl 95 % · agc``.
        labels: its entry on each axis and its recipe, as tables name them.
        sparsity: a fraction.
        slugs: its cells by their seeds.
    """

    name: str
    labels: dict[str, str]
    sparsity: float
    slugs: dict[int, str] = field(default_factory=dict)

    @property
    def runs(self) -> dict[str, str]:
        """The name of each cell's run, by the cell's slug."""
        return {slug: f"{self.name}{DOT}seed {seed}" for seed, slug in self.slugs.items()}


def find_arms(cells: Mapping[str, dict[str, Any]]) -> list[Arm]:
    """The arms of a grid in the order of its tables: plain runs before corrected ones.

    Args:
        cells: content of each cell, by slug.
    """
    labels = label_cells(list(cells.values()))
    varying = [
        name for name in AXES if name not in ARMS and len({label.get(name) for label in labels}) > 1
    ]
    arms: dict[tuple[Any, ...], Arm] = {}
    for (slug, cell), label in zip(cells.items(), labels, strict=True):
        key = (*label.items(), cell["sparsity"])
        if key not in arms:
            arms[key] = Arm(_name(label, cell["sparsity"], varying), label, cell["sparsity"])
        arms[key].slugs[cell["seed"]] = slug
    return sorted(arms.values(), key=_order)


def run_name(cell: dict[str, Any]) -> str:
    """Name of the run of a cell of which nothing else is known than itself."""
    ((name),) = [name for arm in find_arms({"": cell}) for name in arm.runs.values()]
    return name


def _name(label: dict[str, str], sparsity: float, varying: list[str]) -> str:
    method = f"{label['method']} {100 * sparsity:g} %" if sparsity else label["method"]
    others = [label[name] for name in varying]
    return DOT.join(
        part for part in (method, label["correction"], *others, label["recipe"]) if part
    )


def _order(arm: Arm) -> tuple[Any, ...]:
    task = [arm.labels[name] for name in arm.labels if name not in (*ARMS, "recipe", "family")]
    correction = arm.labels["correction"]
    return (
        *(*task, arm.labels["recipe"], arm.labels["method"], arm.sparsity),
        *(correction != PLAIN, is_placebo(correction), correction),
    )
