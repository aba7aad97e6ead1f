"""What a report says of the cells whose runs are mirrored, if it is one of these very cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc.errors import UserError
from agc.tracking.names import Arm

if TYPE_CHECKING:
    from agc.reports.compare import Comparison

RECORDS = "records.parquet"
FILES = ("comparison.csv", "tables/comparison.html", "tables/comparison.md")
SHOWN = ("correction", "measure", "at equal", "rows (pairs)", "difference", "verdict")
"""Columns of the pooled table that an experiment's description has, after those of the task."""


@dataclass(frozen=True)
class Told:
    """A report's folder, and its comparison."""

    folder: Path
    comparison: Comparison

    @property
    def files(self) -> list[Path]:
        """The forest plots, and the tables."""
        pictures = sorted(self.folder.glob("summary*.png"))
        return [*pictures, *(path for name in FILES if (path := self.folder / name).is_file())]

    def row(self, arm: Arm) -> Any | None:
        """The line of the main table in which a corrected arm stands; None for other arms."""
        main = self.comparison.main
        wanted: dict[str, Any] = {
            name: value for name, value in arm.labels.items() if name in main.columns
        }
        found = main[(main[list(wanted)] == list(wanted.values())).all(axis=1)]
        found = found[(found["sparsity"] - arm.sparsity).abs() < 1e-9]
        return next(found.itertuples(), None)

    def verdict(self, row: Any) -> str:
        """The verdict on such a line's accuracy."""
        from agc.reports.tables.formatting import row_verdict

        return row_verdict(row, "accuracy")

    def estimates(self, row: Any) -> dict[str, float]:
        """Metrics of such a line: its paired differences in points, with their intervals."""
        found = {}
        for measure, name in (("accuracy", "difference"), ("robust", "robust_difference")):
            # Robust accuracy is pooled where the objective trains for it, and means nothing else.
            if measure not in set(self.comparison.pooled["measure"]):
                continue
            for key, part in (("mean", ""), ("low_pooled", ".low"), ("high_pooled", ".high")):
                value = 100 * getattr(row, f"{measure}_difference_{key}")
                if value == value:
                    # The report has every digit; a column of the page has room for these.
                    found[name + part] = round(value, 2)
        return found

    def verdicts(self) -> str:
        """The pooled estimates as a Markdown table; empty where there are none."""
        from agc.reports.tables.markup import TextTable, markdown_rows
        from agc.reports.tables.pooled import pooled_table

        if not len(self.comparison.pooled):
            return ""
        table = pooled_table(self.comparison.pooled)
        known = [
            index
            for index, name in enumerate(table.header)
            if index < table.labels - 3 or name in SHOWN
        ]
        header = [table.header[index] for index in known]
        rows = [[row[index] for index in known] for row in table.rows]
        return markdown_rows(TextTable("", "", header, rows, labels=len(header)))


def read_told(folder: Path | None, records: Mapping[str, dict[str, Any]]) -> Told | None:
    """Read a report, unless it is of other cells than ``records``, or of another training of them.

    Args:
        folder: of the report; it need not exist.
        records: of all finished cells of the grid, by slug.
    """
    if folder is None or not (folder / RECORDS).is_file():
        return None
    from agc.reports.tables.write import load_comparison

    try:
        if _ended(folder / RECORDS) != {
            slug: str(record["provenance"]["finished"]) for slug, record in records.items()
        }:
            return None
        return Told(folder, load_comparison(folder))
    except (UserError, OSError, ValueError, KeyError):
        # A report that is half written or of another version tells nothing.
        return None


def _ended(path: Path) -> dict[str, str]:
    import pandas as pd

    table = pd.read_parquet(path, columns=["slug", "provenance_finished"])
    ended = table.dropna().itertuples(index=False)
    return {slug: str(finished) for slug, finished in ended}
