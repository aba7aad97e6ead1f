"""Entries of an axis beside its default, as tables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agc.grids.axes import AXES
from agc.reports.entries import AXIS, BITS, ENTRY, entry_rows
from agc.reports.labels import task_columns
from agc.reports.statistics import summarize
from agc.reports.tables.formatting import MISSING, number, percent, points, sparsity
from agc.reports.tables.markup import TextTable
from agc.reports.tables.pooled import counted, pooled_table
from agc.reports.tables.systems import claims_of

if TYPE_CHECKING:
    import pandas as pd

    from agc.grids.files import Margin

ROWS = (
    "Final test accuracy in percent, mean ± standard deviation over seeds; difference to the"
    " default in points, paired by seed, with a 95 % interval of the spread that all rows of a"
    " sparsity share; (raw): a verdict that Benjamini and Hochberg's adjustment over these rows"
    " takes away. Loss: of training, in the last epoch."
)
BIT_HEADER = ["FLOPs, default", "bit FLOPs", "bit FLOPs as published", "simulated passes"]
BIT_DIGITS = {"base_flops": 4, **dict.fromkeys(BITS[:2], 4), BITS[2]: 1}
BIT_COSTS = (
    " FLOPs: of the training, as a share of dense training's in float32. Bit FLOPs: a product of"
    " a and b bits counts as a b / 32² of one in float32, and what is not quantised in full; as"
    " published: of quantised layers alone, as FracTrain's code counts. Simulated passes: through"
    " a layer, for one forward pass of hardware with such numbers."
)


def entry_lines(entries: pd.DataFrame) -> list[str]:
    """Each pooled difference in one line, with its verdict's sentence."""
    return [
        f"{row['measure']}, {row[ENTRY]} against {AXES[row[AXIS]].default},"
        f" {counted(row['rows'], 'row')} ({counted(row['pairs'], 'pair')}): {row['sentence']}"
        for row in entries[entries["budget"] == "epochs"].to_dict("records")
    ]


def entry_tables(
    entries: pd.DataFrame, records: pd.DataFrame, margin: Margin
) -> list[tuple[str, TextTable]]:
    """For each axis a heading with the pooled table, and one with all rows."""
    found = []
    for axis, lines in entries.groupby(AXIS, sort=False):
        default = AXES[axis].default
        claims = ". ".join(claims_of({name.partition("(")[0] for name in lines[ENTRY]}))
        table = pooled_table(lines.drop(columns=AXIS).rename(columns={ENTRY: "correction"}))
        caption = table.caption.replace("Correction − none", f"Entry − {default}", 1)
        caption = f"{claims}. {caption}" if claims else caption
        header = [axis if name == "correction" else name for name in table.header]
        found.append(
            (
                f"{AXES[axis].plural} against {default}",
                replace(table, caption=caption, header=header),
            )
        )
        found.append((f"{AXES[axis].plural}, row by row", _rows(records, axis, margin)))
    return found


def _rows(records: pd.DataFrame, axis: str, margin: Margin) -> TextTable:
    rows = entry_rows(records, axis, margin)
    differing = [key for key in _tasks(records, axis) if len({row[key] for row in rows}) > 1]
    header = ["method", *differing, axis, AXES[axis].default, "accuracy"]
    header += ["difference", "verdict", "loss", "units per epoch", "lr"]
    bits = any(BITS[0] in row for row in rows)
    caption = ROWS + BIT_COSTS * bits
    cells = [_cells(row, differing) + (_bit_cells(row) if bits else []) for row in rows]
    labels = 2 + len(differing)
    return TextTable("Rows", caption, header + BIT_HEADER * bits, cells, labels=labels)


def _tasks(records: pd.DataFrame, axis: str) -> list[str]:
    """What rows are of, beside method, sparsity and the axis itself."""
    return [key for key in (*task_columns(records.columns), "recipe") if key != axis]


def _cells(row: dict[str, Any], differing: list[str]) -> list[str]:
    name = row["method"] + (f" {sparsity(row['sparsity'])}" if row["sparsity"] else "")
    judged = row["judged"]
    interval = f" [{points(100 * judged.row.low)}, {points(100 * judged.row.high)}]"
    known = judged.row.low == judged.row.low
    return [
        name,
        *(row[key] for key in differing),
        row[ENTRY],
        _mean(row["base"]),
        _mean(row["accuracy"]),
        points(100 * judged.row.mean) + interval * known,
        judged.word,
        f"{row['loss']:.3f}",
        number(row["units"]),
        MISSING if row["lr"] != row["lr"] else f"{row['lr']:g}",
    ]


def _bit_cells(row: dict[str, Any]) -> list[str]:
    return [number(row[key], digits) for key, digits in BIT_DIGITS.items()]


def _mean(values: Any) -> str:
    mean, sd, n = summarize(values)
    return percent(mean) if n < 2 else f"{percent(mean)} ± {percent(sd)}"
