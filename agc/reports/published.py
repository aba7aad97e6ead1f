"""Numbers that others published, beside what a grid measured of the same thing.

``tables/published.csv`` holds them with their sources, in percent and, but for networks and
corrections, in its sources' spelling. A row is covered by runs that have its data set, network,
objective, method, sparsity, correction with all options, and number of epochs; else it is counted
under the first of these that no run shares with it.

Columns of the file that need a word: ``epochs`` is the length of the training, ``epoch`` the one
whose network was measured (empty: the last, or one that the source chose), ``correction`` a
correction of ours with every option that is not its default, or what the source calls it,
``setting`` what else is not as in the source's other rows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc.records.failure import WITHOUT_RESULT, loss_key
from agc.reports.labels import row_columns
from agc.reports.statistics import summarize

if TYPE_CHECKING:
    import pandas as pd

TABLE = Path(__file__).parent / "tables" / "published.csv"
KEY = ("dataset", "architecture", "objective", "method", "sparsity", "correction")
"""What published and measured rows must share, in the order in which it is asked for."""

METHODS = {"flying_bird_plus": "flying-bird+", "topkast": "top-kast", "srste": "n:m"}
"""Names that differ from ours by more than a hyphen."""

SMALL = ("cifar10", "cifar100", "svhn", "tiny-imagenet")
NETWORKS = {name: f"{name}_cifar" for name in ("resnet18", "resnet34", "resnet50")}
"""What sources call a network that has another stem on images as small as those of ``SMALL``."""

BEST = {"clean_best", "clean_at_best", "robust_best", "robust_pgd10_best"}
"""Metrics of an epoch that was chosen; all others are of a known one, or the source is silent."""


@dataclass(frozen=True)
class Beside:
    """Published rows beside measured ones.

    ``rows``: one for each published row × covering kind of run: ``KEY``, ``recipe``, ``ours_*``
    (mean, sample standard deviation and number of seeds, as fractions; counts of runs),
    ``measure`` (the column of the records that it is of), and the published row as in its file.
    ``lacking``: how many of the others fail by what: one of ``KEY``, ``setting``, ``epochs``, or
    ``metric`` (nothing of the kind was measured, or not at that epoch).
    ``covered``: how many published rows are in ``rows``.
    """

    rows: pd.DataFrame
    lacking: dict[str, int]
    covered: int

    @property
    def total(self) -> int:
        """All published rows."""
        return self.covered + sum(self.lacking.values())


def read_published() -> pd.DataFrame:
    """The published rows, with data sets, networks, objectives and methods spelt as ours."""
    import pandas as pd

    text = ["source", *KEY[:4], "distribution", "correction", "setting", "metric", "note"]
    table = pd.read_csv(TABLE, dtype=dict.fromkeys(text, "string"))
    table["method"] = table["method"].replace(METHODS)
    for column in ("dataset", "objective", "method"):
        table[column] = table[column].str.replace("_", "-")
    small = table["dataset"].isin(SMALL)
    table.loc[small, "architecture"] = table.loc[small, "architecture"].replace(NETWORKS)
    # Keys that were computed and keys that were typed must meet.
    table["sparsity"] = table["sparsity"].round(6)
    optional = ["distribution", "setting", "note"]
    table[optional] = table[optional].fillna("")
    return table


def beside_published(records: pd.DataFrame, epochs: pd.DataFrame) -> Beside:
    """Each published row beside the runs that cover it, and how many rows none covers.

    Args:
        records: a row for each cell, as collected.
        epochs: a row for each cell and epoch, as collected.
    """
    import pandas as pd

    kinds = list(_kinds(records))
    shared = [{kind.key[: place + 1] for kind in kinds} for place in range(len(KEY))]
    rows: list[dict[str, Any]] = []
    lacking: Counter[str] = Counter()
    covered = 0
    for published in read_published().to_dict("records"):
        key = tuple(published[name] for name in KEY)
        missing = next(
            (name for place, name in enumerate(KEY) if key[: place + 1] not in shared[place]), None
        )
        if missing is None and published["setting"]:
            missing = "setting"
        if missing is None:
            same = [kind for kind in kinds if kind.key == key]
            fitting = [kind for kind in same if _fits(published, kind.epochs)]
            pairs = [(kind, _measure(published, kind.epochs)) for kind in fitting]
            found = [_row(published, kind, name, epochs) for kind, name in pairs if name]
            measured = [row for row in found if row["ours_measured_n"] or row["ours_finished"] == 0]
            missing = None if measured else "metric" if fitting else "epochs"
            rows += measured
        if missing is None:
            covered += 1
        else:
            lacking[missing] += 1
    return Beside(pd.DataFrame(rows), dict(lacking), covered)


@dataclass(frozen=True)
class _Kind:
    """Runs that differ in their seed alone."""

    key: tuple[Any, ...]
    labels: dict[str, Any]
    epochs: int
    cells: pd.DataFrame


def _kinds(records: pd.DataFrame) -> Iterator[_Kind]:
    # Tables that were collected before they had corrections in full have labels alone.
    full = "correction_in_full" if "correction_in_full" in records else "correction"
    # A diverged run is short; one recipe has one number of epochs.
    planned = records.groupby("recipe")["epochs"].max()
    names = [*row_columns(records.columns), "recipe", "correction"]
    for values, cells in records.groupby(names, sort=True):
        labels = dict(zip(names, values, strict=True))
        mine = labels | {
            "correction": cells[full].iloc[0],
            "sparsity": round(labels["sparsity"], 6),
        }
        key = tuple(mine[name] for name in KEY)
        yield _Kind(key, labels, int(planned[labels["recipe"]]), cells)


def _fits(published: dict[str, Any], epochs: int) -> bool:
    """Whether a training of so many epochs is as long as the published one, as far as known."""
    length, epoch = published["epochs"], published["epoch"]
    if not math.isnan(length):
        return bool(length == epochs)
    return math.isnan(epoch) or epoch <= epochs


def _measure(published: dict[str, Any], epochs: int) -> str | None:
    """The column that has what was published: of the records, or, within a training, of the
    epochs; None if it was not measured.
    """
    metric, epoch = published["metric"], published["epoch"]
    within = epoch < epochs  # not if it is unknown, which is NaN
    which = "best" if metric in BEST else "final"
    if metric == "top1_validation":
        return "validation_accuracy" if within else "final_validation_accuracy"
    if metric.startswith(("top1", "clean")):
        return "test_accuracy" if within else f"{which}_test_accuracy"
    if metric.startswith("robust") and not within:
        return f"{which}_robust_accuracy"
    return None


def _row(
    published: dict[str, Any], kind: _Kind, measure: str, epochs: pd.DataFrame
) -> dict[str, Any]:
    cells = kind.cells
    finished = cells[cells["status"] == "finished"]
    if measure in epochs:
        # Of a run that did not measure it after every epoch, some epochs happen to have a value.
        partial = epochs.loc[epochs[measure].isna(), "slug"]
        then = epochs[epochs["slug"].isin(finished["slug"]) & ~epochs["slug"].isin(partial)]
        values = then.loc[then["epoch"] == published["epoch"], measure]
    else:
        values = finished[measure]
    ours = {f"ours_measured_{name}": value for name, value in summarize(values)._asdict().items()}
    counts = {"ours_seeds": len(cells), "ours_finished": len(finished)}
    for status in ("diverged", *WITHOUT_RESULT):
        counts[f"ours_{loss_key(status)}"] = int((cells["status"] == status).sum())
    own = {"ours_epochs": kind.epochs, "measure": measure}
    rest = {f"published_{key}": value for key, value in published.items() if key not in KEY}
    return kind.labels | ours | counts | own | {"correction": kind.key[-1]} | rest
