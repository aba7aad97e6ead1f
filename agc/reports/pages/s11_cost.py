"""Cost: units, FLOPs, seconds and core-hours, of each stage and of all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.reports.costs import compare_costs
from agc.reports.pages.base import SECTIONS, Context
from agc.reports.pages.shared.blocks import Block, Table
from agc.reports.pages.shared.render import wrapped
from agc.reports.pages.shared.stages import ALL
from agc.reports.tables.costs import cost_table
from agc.reports.tables.markup import TextTable

if TYPE_CHECKING:
    import pandas as pd

CAPTION = (
    "Sums over the cells of a stage that have a record; a cell of several stages counts in each,"
    " and once in the last line. Units: forward passes over the training images. FLOPs of training"
    " are idealised, as if zeros cost nothing; relative: to dense training of as many epochs."
    " Core-hours: all seconds, times threads."
)
HEADER = ["stage", "cells", "units", "TFLOPs", "relative", "training, h", "core-hours"]


@SECTIONS.register("cost", place=11, title="Cost")
def cost(context: Context) -> list[Block]:
    """A line for each stage; what tuning adds, whose cells have records of their own."""
    records = context.records
    stages = sorted(context.study.stages.items())
    parts = {name: records[records["slug"].isin(slugs)] for name, slugs in stages}
    parts[ALL] = records
    rows = [[name, *cells(own)] for name, own in parts.items() if len(own)]
    said = "Another machine has other seconds: these say what was spent here, not what is needed."
    blocks = [
        Table(TextTable("Cost", CAPTION, HEADER, rows)),
        wrapped(f"{_tuning(context)} {said}"),
    ]
    predicted = compare_costs(records, context.study.epochs)
    return [*blocks, Table(cost_table(predicted))] if predicted is not None else blocks


def cells(own: pd.DataFrame) -> list[str]:
    """The numbers of one line."""
    dense = own["dense_training_flops"].sum()
    relative = own["training_flops"].sum() / dense if dense else float("nan")
    return [
        str(len(own)),
        f"{own['units'].sum():.0f}",
        f"{own['training_flops'].sum() / 1e12:.1f}",
        f"{relative:.2f}",
        f"{own['seconds_train'].sum() / 3600:.1f}",
        f"{core_hours(own).sum():.1f}",
    ]


def core_hours(own: pd.DataFrame) -> pd.Series:
    """Of each cell: its seconds in all, or those of its training where no more is known."""
    seconds = own["seconds_total"] if "seconds_total" in own else own["seconds_train"]
    threads = own["provenance_threads"].astype(float).fillna(1.0)
    return seconds.fillna(own["seconds_train"]) * threads / 3600


def _tuning(context: Context) -> str:
    """What the choice of learning rates cost, whose runs are in no stage."""
    table = context.tuning
    if table is None:
        return "No learning rate was tuned."
    runs = sum(len(text.split()) for text in table["seeds"])
    if "seconds" not in table:
        return f"What the {runs} runs cost that chose learning rates is not known."
    return (
        f"The {runs} runs that chose learning rates, which are not in the table, took"
        f" {table['units'].sum():.0f} units and {table['seconds'].sum() / 3600:.1f} hours of one"
        " core more."
    )
