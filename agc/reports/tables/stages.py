"""What each rule would have said of the loss that stages of precision were decided by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.reports.labels import panel_keys
from agc.reports.stages import AXIS, stage_runs
from agc.reports.tables.formatting import number, percent, sparsity
from agc.reports.tables.markup import TextTable

if TYPE_CHECKING:
    import pandas as pd

HEADING = "what ends a stage of precision"
CAPTION = (
    "Whoever decides, each rule is asked of the same loss before each epoch in which a further"
    " stage could begin: published (all of the last five points are within the threshold of the"
    " newest), falling (their line falls by the threshold at most). Goes on: share of these epochs,"
    " in percent, in which a rule would begin the next stage. Scatter alone: in which the loss"
    " falls no more and the published rule waits all the same. Bits: of activations, in the last"
    " epoch. Means over seeds."
)
PUBLISHED = "detector="
"""An option that an arm has not, if the published rule decides."""


def stage_tables(records: pd.DataFrame, epochs: pd.DataFrame) -> list[tuple[str, TextTable]]:
    """Heading and table; none where no run has stages that the loss decides on.

    Args:
        records: a row for each cell, as collected.
        epochs: a row for each cell and epoch, as collected.
    """
    runs = stage_runs(records, epochs)
    if not len(runs):
        return []
    runs["published"], runs["falling"] = runs["scatter"] <= 1, runs["fall"] <= 1
    runs["alone"] = runs["falling"] & ~runs["published"]
    keys = panel_keys(records.columns, AXIS)
    differing = [k for k in keys if runs[k].nunique() > 1 and k not in ("method", "sparsity")]
    asked = runs[runs["scatter"].notna()]
    last = runs[runs["epoch"] == runs.groupby("slug")["epoch"].transform("max")]
    bits = last.groupby([*keys, "label"])["forward_bits"].mean()
    rows = []
    for key, own in asked.groupby([*keys, "label"], sort=True):
        labels = dict(zip([*keys, "label"], key, strict=True))
        zeros = labels["sparsity"]
        rows.append(
            [
                labels["method"] + (f" {sparsity(zeros)}" if zeros else ""),
                *(labels[name] for name in differing),
                labels["label"],
                str(len(own)),
                *(percent(own[name].mean(), 0) for name in ("published", "falling", "alone")),
                number(bits[key], 1),
            ]
        )
    header = ["method", *differing, AXIS, "epochs", "published goes on", "falling goes on"]
    header += ["scatter alone", "bits"]
    caption = f"{_conclusion(asked)} {CAPTION}"
    return [(HEADING, TextTable("Stages", caption, header, rows, labels=2 + len(differing)))]


def _conclusion(asked: pd.DataFrame) -> str:
    """How often scatter alone held back the runs that the published rule decided for."""
    own = asked[~asked["label"].str.contains(PUBLISHED, regex=False)]
    if not len(own):
        return ""
    parts = [
        f"{percent(part['alone'].mean(), 0)} % of {len(part)} epochs"
        f" {f'at {sparsity(zeros)}' if zeros else 'of dense training'}"
        for zeros, part in own.groupby("sparsity", sort=True)
    ]
    return f"Where the published rule decided, scatter alone kept it waiting in {', '.join(parts)}."
