"""Entries of an axis beside its default, as tables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agc.grids.axes import AXES
from agc.reports.entries import (
    AXIS,
    BASE,
    BITS,
    ENTRY,
    TRAFFIC,
    WITH,
    Compared,
    entry_rows,
    named_lines,
    with_remark,
)
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
    "Final test accuracy in percent, mean ± standard deviation over seeds; difference to {base}"
    " in points, paired by seed, with a 95 % interval of the spread that all rows of a"
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
SENT = (
    " Bits: millions that a worker sends (up) and that come back (down) in the whole training,"
    " by formula; workers are simulated on one machine, whose seconds say nothing of a network."
)


def entry_lines(entries: pd.DataFrame) -> list[str]:
    """Each pooled difference in one line, with its verdict's sentence."""
    shown = entries[entries["budget"] == "epochs"]
    return [
        f"{row['measure']}, {name} against {row[BASE]},"
        f" {counted(row['rows'], 'row')} ({counted(row['pairs'], 'pair')}): {row['sentence']}"
        for _, lines in shown.groupby([AXIS, BASE], sort=False)
        for name, row in named_lines(lines)
    ]


def entry_tables(
    entries: pd.DataFrame, records: pd.DataFrame, margin: Margin
) -> list[tuple[str, TextTable]]:
    """For each comparison a heading with the pooled table, and one with all rows."""
    found = []
    for (axis, base), lines in entries.groupby([AXIS, BASE], sort=False):
        claims = ". ".join(claims_of({name.partition("(")[0] for name in lines[ENTRY]}))
        own = lines.drop(columns=[AXIS, BASE]).rename(columns={ENTRY: "correction"})
        table = pooled_table(own)
        caption = table.caption.replace("Correction − none", f"Entry − {base}", 1)
        caption = f"{claims}. {caption}" if claims else caption
        header = [axis if name == "correction" else name for name in table.header]
        title = f"{AXES[axis].plural} against {base}"
        found.append((title, replace(table, caption=caption, header=header)))
        heading = f"{AXES[axis].plural}, row by row"
        heading = heading if base == AXES[axis].measure else f"{heading}, against {base}"
        found.append((heading, _rows(records, Compared(axis, base), margin)))
    return found


def _rows(records: pd.DataFrame, compared: Compared, margin: Margin) -> TextTable:
    rows = entry_rows(records, compared, margin)
    tasks = _tasks(records, compared.axis)
    differing = [key for key in tasks if len({row[key] for row in rows}) > 1]
    sent = any(row[key] == row[key] for row in rows for key in TRAFFIC)
    bits = any(BITS[0] in row for row in rows)
    header = ["method", *differing, compared.axis, compared.base, "accuracy"]
    header += ["difference", "verdict", "loss", "units per epoch", "lr"]
    header += ["Mbit up", "Mbit down"] * sent + BIT_HEADER * bits
    cells = [
        [
            *_cells(row, differing),
            *(_sent(row) if sent else []),
            *(_bit_cells(row) if bits else []),
        ]
        for row in rows
    ]
    caption = ROWS.format(base=compared.base) + SENT * sent + BIT_COSTS * bits
    names = sorted({row[ENTRY].partition("(")[0] for row in rows})
    remarks = [text for name in names if (text := with_remark(compared.axis, name)) != name]
    caption += f" Of these: {', '.join(remarks)}." if remarks else ""
    return TextTable("Rows", caption, header, cells, labels=2 + len(differing))


def _tasks(records: pd.DataFrame, axis: str) -> list[str]:
    """What rows are of, beside method, sparsity and the axis itself."""
    return [key for key in (*task_columns(records.columns), "recipe") if key != axis]


def _sent(row: dict[str, Any]) -> list[str]:
    """Three digits: a message may be a thousandth of plain numbers."""
    return [f"{row[key] / 1e6:.3g}" if row[key] == row[key] else MISSING for key in TRAFFIC]


def _cells(row: dict[str, Any], differing: list[str]) -> list[str]:
    method, joined, options = row["method"].partition(WITH)
    method += f" {sparsity(row['sparsity'])}" if row["sparsity"] else ""
    name = f"{method}{joined}{options}"
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
