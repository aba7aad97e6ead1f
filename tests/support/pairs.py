"""Cells that hold every two entries of two axes together at least once, and one step of each."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import combinations
from typing import Any

from agc.conformance.method_problem import often
from agc.errors import UserError
from agc.grids.axes import AXES
from agc.grids.cell import Cell, make_cell
from agc.training.build import build
from agc.training.loop import train

Names = dict[str, str]
"""An entry of each axis."""

Pair = tuple[tuple[str, str], tuple[str, str]]

# The cheapest entry of each axis stands where any would do.
CHEAP: Names = {
    "dataset": "digits",
    "architecture": "resnet8",
    "objective": "standard",
    "method": "static",
    "correction": "none",
    "optimizer": "sgd",
    "quantization": "none",
    "communication": "none",
}
SMALL: dict[str, dict[str, Any]] = {
    "resnet8": {"width": 4},
    "synthetic": {"train": 40, "test": 4, "size": 16},
}
BATCH = 4
DATASETS = ["digits", "synthetic"]


class OneStep(Exception):
    """The first step is done."""


def entries(everything: bool = False) -> dict[str, list[str]]:
    """Entries of each axis; of data sets those that need no preparation, and of networks a small
    one of each kind unless ``everything`` is asked for.
    """
    known = {name: axis.registry.names() for name, axis in AXES.items()}
    known["dataset"] = DATASETS
    if not everything:
        known["architecture"] = ["lenet300_100", "lenet5", "resnet8", "wrn_16_1"]
    known["optimizer"] += ["adamw"]
    return known


def covering(known: dict[str, list[str]]) -> list[Names]:
    """Combinations in which each pair of entries occurs; refused pairs are left out.

    Greedy: a combination is begun with the first pair that is missing, and each further axis takes
    the entry that adds most missing pairs, or the cheapest one.
    """
    missing = {pair: None for pair in _pairs(known) if reason(dict(pair)) is None}
    found = []
    while missing:
        names = dict(next(iter(missing)))
        for axis in known:
            if axis in names:
                continue
            best = max(
                (name for name in known[axis] if reason({**names, axis: name}) is None),
                key=lambda name: (
                    sum(_pair(axis, name, *other) in missing for other in names.items()),
                    name == CHEAP[axis],
                ),
            )
            names[axis] = best
        found.append(names)
        for pair in combinations(((axis, names[axis]) for axis in known), 2):
            missing.pop(pair, None)
    return found


def make(names: Names) -> Cell:
    """A cell of these entries: an epoch, or two, of two batches of four images."""
    names = {**CHEAP, **names}
    method, dataset = names["method"], names["dataset"]
    sparse = AXES["method"].registry[method].target.sparse
    training = {
        "epochs": 2 if method == "lottery" else 1,
        "batch_size": BATCH,
        "validation": (1437 if dataset == "digits" else 40) - 2 * BATCH,
        "fixed_batches": True,
        "optimizer": {"name": names["optimizer"], "lr": 0.01, "nesterov": False},
        "schedule": {"name": "constant"},
    }
    cell: dict[str, Any] = {
        axis: {"name": name, "options": SMALL.get(name, {})}
        for axis, name in names.items()
        if AXES[axis].section is None
    }
    cell["method"]["options"] = often(method, update_interval=1, late_interval=1, iterations=2)
    several = AXES["communication"].registry.option_names(names["communication"]) or ()
    cell["communication"]["options"] = {"workers": 2} if "workers" in several else {}
    known = AXES["objective"].registry.option_names(names["objective"]) or ()
    cell["objective"]["options"] = {"steps": 1} if "steps" in known else {}
    return make_cell({**cell, "sparsity": 0.5 if sparse else 0.0, "training": training})


def reason(names: Names) -> str | None:
    """Why these entries make no cell, with any data set if none is named; None if they do."""
    said = None
    for dataset in [names["dataset"]] if "dataset" in names else DATASETS:
        try:
            make({**names, "dataset": dataset})
        except UserError as error:
            said = str(error)
        else:
            return None
    return said


def step(names: Names) -> None:
    """Build the cell and make one step of its training.

    Raises:
        AssertionError: its loss, or a weight after it, is no number.
    """

    def stop() -> None:
        raise OneStep

    run = build(make(names))
    try:
        for _ in train(run, after_step=stop):
            pass
    except OneStep:
        pass
    total = sum(p.detach().abs().sum().item() for p in run.model.parameters())
    assert math.isfinite(total), names


def _pairs(known: dict[str, list[str]]) -> Iterable[Pair]:
    for axis, other in combinations(known, 2):
        for one in known[axis]:
            for two in known[other]:
                yield (axis, one), (other, two)


def _pair(axis: str, name: str, other: str, partner: str) -> Pair:
    order = list(AXES)
    first, second = sorted([(axis, name), (other, partner)], key=lambda e: order.index(e[0]))
    return first, second
