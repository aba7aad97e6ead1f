"""Numbers that others published, beside ours where data set, network, method and sparsity match.

``published.csv`` holds them with their sources, in percent and in its sources' spelling. They were
trained otherwise (epochs, learning rates, selection), so they show an order of magnitude.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agc.reports.labels import row_columns
from agc.reports.tables.formatting import MISSING, accuracy, number, sparsity
from agc.reports.tables.markup import TextTable

if TYPE_CHECKING:
    import pandas as pd

TABLE = Path(__file__).with_name("published.csv")
KEY = ["dataset", "architecture", "objective", "method", "sparsity"]
METHODS = {"flying_bird_plus": "flying-bird+", "topkast": "top-kast", "srste": "n:m"}
"""Names that differ from ours by more than a hyphen."""

CAPTION = (
    "Our plain runs without correction beside figures that others published for the same data set,"
    " network, method and sparsity, in percent. Settings differ: see the source. Metric: top1 is"
    " clean accuracy of an epoch that the source chose; robust ones name the attack."
)


def read_published() -> pd.DataFrame:
    """The published rows, with data sets, objectives and methods spelt as ours."""
    import pandas as pd

    text = ["source", *KEY[:4], "distribution", "metric", "note"]
    table = pd.read_csv(TABLE, dtype=dict.fromkeys(text, "string"))
    table["method"] = table["method"].replace(METHODS)
    table["distribution"] = table["distribution"].fillna(MISSING)
    for column in ("dataset", "objective", "method"):
        table[column] = table[column].str.replace("_", "-")
    return table


def match_published(main: pd.DataFrame) -> pd.DataFrame:
    """Rows of a comparison joined with published ones; a plain arm appears once."""
    wanted = main[main["plain_final_accuracy_n"] > 0].drop_duplicates(
        [*row_columns(main.columns), "recipe"]
    )
    published = read_published()
    # Keys that were computed and keys that were typed must meet.
    wanted = wanted.assign(sparsity=wanted["sparsity"].round(6))
    published["sparsity"] = published["sparsity"].round(6)
    published = published.rename(columns={"epochs": "published_epochs", "source": "origin"})
    columns = [*KEY, "distribution", "published_epochs", "metric", "mean", "std", "origin", "note"]
    wanted = wanted.assign(**{key: wanted[key].astype("string") for key in KEY[:4]})
    return wanted.merge(published[columns], on=KEY, how="inner")


def published_tables(main: pd.DataFrame) -> list[TextTable]:
    """A table for each data set and network with a published figure; none where there is none."""
    tables = []
    found = match_published(main)
    for (dataset, architecture), group in found.groupby(["dataset", "architecture"], sort=True):
        rows = []
        for row in group.itertuples():
            spread = MISSING if row.std != row.std else number(row.std, 2)
            rows.append(
                [
                    row.objective,
                    row.method,
                    sparsity(row.sparsity),
                    accuracy(row, "plain", "final_accuracy"),
                    accuracy(row, "plain", "final_robust"),
                    number(row.mean, 2),
                    spread,
                    row.metric,
                    number(row.published_epochs),
                    row.distribution,
                    row.origin,
                ]
            )
        header = ["objective", "method", "sparsity", "ours", "ours, robust", "published", "±"]
        header += ["metric", "epochs", "distribution", "source"]
        title = f"{dataset}, {architecture}: published"
        tables.append(TextTable(title, CAPTION, header, rows, labels=3, wrapped=(10,)))
    return tables
