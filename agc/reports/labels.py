"""Names for what differs between cells, and only for that."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from agc.errors import UserError
from agc.grids.axes import AXES, Axis
from agc.grids.start import described

if TYPE_CHECKING:
    import pandas as pd

ARMS = ("method", "correction")
"""Axes that are compared with each other; the others together are the task."""


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one mapping with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def axis_columns(columns: Iterable[str]) -> list[str]:
    """Names of the axes that stand in a table, in the order of the axes.

    A later axis is in a table where a cell has something else than its default.
    """
    present = set(columns)
    return [name for name in AXES if name in present]


def task_columns(columns: Iterable[str]) -> list[str]:
    """Names of the axes of a table that make its rows one task: all but :data:`ARMS`."""
    return [name for name in axis_columns(columns) if name not in ARMS]


def panel_keys(columns: Iterable[str], axis: str) -> list[str]:
    """What tells the rows of entries of an axis apart: all but the axis and the seed."""
    tasks = [key for key in task_columns(columns) if key != axis]
    return [*tasks, "method", "sparsity", "correction", "recipe"]


def row_columns(columns: Iterable[str]) -> list[str]:
    """What makes rows of a table runs of one kind, plain or corrected, but for their recipe."""
    names = [name for name in axis_columns(columns) if name != "correction"]
    place = names.index("method") + 1
    return [*names[:place], "sparsity", *names[place:]]


def row_names(main: pd.DataFrame) -> list[str]:
    """Each row in words: method and sparsity, and what else is not the same in all rows."""
    task = [key for key in task_columns(main.columns) if key != "objective"]
    varying = [key for key in task if main[key].nunique() > 1]
    names = []
    for row in main.to_dict("records"):
        parts = [row[key] for key in varying] + [
            row["method"],
            *([f"{100 * row['sparsity']:g} %"] if row["sparsity"] else []),
        ]
        names.append(" ".join(parts) + (f" ({row['recipe']})" if row["recipe"] else ""))
    return names


def label_cells(cells: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Label each cell on every axis, and its recipe; a later axis on which all cells have the
    default has no label.

    An axis' label is the entry's name; where cells share that name but not its options, the
    options that differ, and are not the entry's defaults, follow in parentheses. ``recipe`` holds
    the training and evaluation settings (and the revision) that differ between any two cells, or
    nothing; ``family`` is the recipe without the number of epochs.
    """
    labels: list[dict[str, str]] = [{} for _ in cells]
    for axis in AXES.values():
        chosen = [axis.dumped(cell) for cell in cells]
        names = [entry["name"] for entry in chosen]
        if axis.since and all(entry == {"name": axis.default, "options": {}} for entry in chosen):
            continue
        by_name: dict[str, list[int]] = defaultdict(list)
        for index, name in enumerate(names):
            by_name[name].append(index)
        for name, members in by_name.items():
            options = [flatten(chosen[index]["options"]) for index in members]
            texts = _differences(options, _defaults(axis, name))
            for index, text in zip(members, texts, strict=True):
                labels[index][axis.name] = f"{name}({text})" if text else name
    settings = [_settings(cell) for cell in cells]
    for label, text in zip(labels, _differences(settings), strict=True):
        label["recipe"] = text
    for own in settings:
        own.pop("epochs", None)
    for label, text in zip(labels, _differences(settings), strict=True):
        label["family"] = text
    return labels


def differing_parts(recipes: Iterable[str]) -> dict[str, str]:
    """Labels of recipes, without what is the same in all of these: some cells differ in less than
    all of a table's do.
    """
    # A comma within a value, as in a list, is followed by no key.
    parts = {text: re.split(r", (?=[\w.]+=)", text) for text in recipes}
    shared = set.intersection(*map(set, parts.values())) if parts else set()
    return {
        text: ", ".join(part for part in own if part not in shared) for text, own in parts.items()
    }


def in_full(axis: str) -> str:
    """Column of an axis' labels with all options."""
    return f"{axis}_in_full"


def label_in_full(axis: Axis, cell: dict[str, Any]) -> str:
    """Label of one cell on an axis by itself: the name with every option that is not the entry's
    default, whatever other cells have.
    """
    entry = axis.dumped(cell)
    options = flatten(entry["options"])
    usual = _defaults(axis, entry["name"])
    own = [
        f"{key}={_text(options[key])}"
        for key in sorted(options)
        if key not in usual or options[key] != usual[key]
    ]
    return f"{entry['name']}({', '.join(own)})" if own else entry["name"]


def _defaults(axis: Axis, name: str) -> dict[str, Any]:
    """Default options of an entry; none if it is not installed here."""
    try:
        return flatten(axis.registry.resolve(name, {}))
    except UserError:
        return {}


def _settings(cell: dict[str, Any]) -> dict[str, Any]:
    """All of a cell that is neither an axis, nor the sparsity, nor the seed."""
    named = {*AXES, "sparsity", "seed", "training"}
    rest = flatten({key: value for key, value in cell.items() if key not in named})
    training = flatten({key: v for key, v in cell["training"].items() if key != "start"})
    if (start := cell["training"].get("start")) is not None:
        training |= {"start": described(start)}
    for axis in AXES.values():
        if axis.section is not None:
            training = {
                key: value
                for key, value in training.items()
                if key != f"{axis.name}.name" and not key.startswith(f"{axis.name}.options.")
            }
    return training | rest


def _differences(
    mappings: list[dict[str, Any]], defaults: dict[str, Any] | None = None
) -> list[str]:
    """For each flat mapping, its entries whose key has not the same value in all of them.

    A value that is the default goes without saying.
    """
    usual = defaults or {}
    seen: dict[str, set[str]] = defaultdict(set)
    for mapping in mappings:
        for key, value in mapping.items():
            seen[key].add(json.dumps(value, sort_keys=True))
    # A key that some mappings lack differs as well.
    counts: dict[str, int] = defaultdict(int)
    for mapping in mappings:
        for key in mapping:
            counts[key] += 1
    differing = sorted(
        key for key, values in seen.items() if len(values) > 1 or counts[key] < len(mappings)
    )
    return [
        ", ".join(
            f"{key}={_text(mapping[key])}"
            for key in differing
            if key in mapping and (key not in usual or mapping[key] != usual[key])
        )
        for mapping in mappings
    ]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def labels_of(cells: pd.DataFrame, axis: str) -> pd.Series:
    """The label of each cell's entry of an axis, with all options where records have them."""
    return cells[in_full(axis)] if in_full(axis) in cells else cells[axis]
