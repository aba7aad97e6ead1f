"""What papers print of quantised training, above the same of a grid's own runs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc.reports.arms import common_seeds, finished
from agc.reports.entries import with_remark
from agc.reports.labels import labels_of, task_columns
from agc.reports.statistics import paired_difference, summarize
from agc.reports.tables.formatting import MISSING, interval, number, percent, points, sparsity
from agc.reports.tables.markup import TextTable

if TYPE_CHECKING:
    import pandas as pd

AXIS = "quantization"
PRINTED = Path(__file__).with_suffix(".csv")
HEADING = "beside the papers"
CAPTION = (
    "Accuracy in percent, differences in points, computation that is saved in percent of the"
    " base's. The papers' networks and images are others, and so are their bases' accuracies: what"
    " can be compared is how much is lost and saved. They count products of quantised layers by"
    " their bits, as the last column does of ours; the column before it counts all layers. Ours:"
    " mean over seeds, differences paired by seed with a 95 % t interval. Base: {bases}."
)
BASES = {"static": "static, 8 bits throughout", "none": "none, float32"}


def read_printed() -> list[dict[str, str]]:
    """A line for each result that a paper prints: ``entry``, its ``base``, the ``source`` and
    ``setting`` there; both accuracies or their ``difference``; ``macs`` of both, weighted with
    bits, or what is ``saved`` in percent. Empty where it prints none.
    """
    with PRINTED.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def printed_tables(records: pd.DataFrame) -> list[tuple[str, TextTable]]:
    """Heading and table; none where a grid has none of the entries with their base.

    Args:
        records: a row for each cell, as collected.
    """
    if AXIS not in records or "bit_flops" not in records:
        return []
    labels = labels_of(records, AXIS)
    own = records.assign(label=labels, entry=labels.str.partition("(")[0])
    lines = read_printed()
    bases = {line["entry"]: line["base"] for line in lines}
    rows: list[list[str]] = []
    shown = []
    for entry, base in bases.items():
        ours = _ours(own, entry, base)
        if ours:
            shown.append(base)
            rows += [_theirs(line) for line in lines if line["entry"] == entry]
            rows += ours
    if not rows:
        return []
    header = ["of", "entry", "base", "accuracy, base", "accuracy", "difference"]
    header += ["saved", "saved, quantised layers"]
    caption = CAPTION.format(bases="; ".join(BASES[name] for name in dict.fromkeys(shown)))
    return [(HEADING, TextTable("Printed", caption, header, rows, labels=3))]


def _theirs(line: dict[str, str]) -> list[str]:
    value = {key: float(text) if _is_number(text) else None for key, text in line.items()}
    difference, saved = value["difference"], value["saved"]
    if value["accuracy"] is not None:
        difference = value["accuracy"] - value["base_accuracy"]
    if value["macs"] is not None:
        saved = 100 * (1 - value["macs"] / value["base_macs"])
    return [
        f"{line['source']}: {line['setting']}",
        with_remark(AXIS, line["entry"]),
        line["base"],
        line["base_accuracy"] or MISSING,
        line["accuracy"] or MISSING,
        points(difference),
        MISSING,
        number(saved),
    ]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _ours(records: pd.DataFrame, entry: str, base: str) -> list[list[str]]:
    tasks = [key for key in (*task_columns(records.columns), "recipe") if key != AXIS]
    keys = ["method", "sparsity", "correction", *tasks]
    rows = []
    for key, cells in records.groupby(keys, sort=True):
        plain = finished(cells[cells["label"] == base])
        for label, runs in cells[cells["entry"] == entry].groupby("label", sort=True):
            found = finished(runs)
            if seeds := common_seeds(plain, found):
                place = dict(zip(keys, key, strict=True))
                rows.append(_row(place, label, base, plain.loc[seeds], found.loc[seeds]))
    return rows


def _row(
    place: dict[str, Any], label: str, base: str, plain: pd.DataFrame, found: pd.DataFrame
) -> list[str]:
    before, after = (arm["final_test_accuracy"] for arm in (plain, found))
    gap = paired_difference(100 * (after - before))
    spent = plain["bit_flops"].fillna(plain["training_flops"])
    method = f"{place['method']} {sparsity(place['sparsity'])}"
    method = method if place["sparsity"] else place["method"]
    name, opened, options = label.partition("(")
    return [
        f"here: {place['dataset']}, {place['architecture']}, {method}",
        with_remark(AXIS, name) + (f", {options.removesuffix(')')}" if opened else ""),
        base,
        percent(summarize(before).mean),
        percent(summarize(after).mean),
        f"{points(gap.mean)} {interval(gap.low, gap.high)}",
        _saved(found["bit_flops"], spent),
        _saved(found["bit_flops_published"], plain["bit_flops_published"]),
    ]


def _saved(spent: pd.Series, base: pd.Series) -> str:
    """In percent; a base in float32 has no published count."""
    return MISSING if base.isna().any() else number(100 * (1 - spent.mean() / base.mean()))
