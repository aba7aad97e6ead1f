"""The choice of a learning rate for each arm, by validation images alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc.errors import UserError
from agc.files import atomic_write_text
from agc.grids.cell import Cell
from agc.grids.tuning import arm_of, read_learning_rates
from agc.reports.labels import label_cells

if TYPE_CHECKING:
    import pandas as pd

FILE = "tuning.csv"
COSTS = ("units", "seconds")
"""Columns that older files lack."""
DIGITS = 10
"""Of a mean: what differs beyond them is rounding, and a tie."""


def choose(cells: Sequence[Cell], records: Mapping[str, dict[str, Any]]) -> pd.DataFrame:
    """Mean final validation accuracy of each arm and learning rate, and each arm's choice.

    The highest mean is chosen, of equal ones the smallest rate. A run that diverged counts as an
    accuracy of 0. Nothing here looks at a test image.

    Args:
        cells: the tuning cells of a grid (:func:`agc.grids.tuning.tuning_cells`).
        records: of each of them, by slug.

    Returns:
        A row for each arm and rate, in the order of the cells: labels of the arm, ``arm`` (its
        hash), ``lr``, ``seeds`` (with spaces between), ``validation_accuracy_mean`` and ``_sd``
        (fractions; NaN of one seed), ``diverged`` (runs), ``units`` and ``seconds`` of all of its
        runs, ``chosen``, and ``at_edge``: it is, and no rate below or none above it was tried.
    """
    import pandas as pd

    first = {arm_of(cell): cell for cell in reversed(cells)}
    # One seed and one rate for all, that labels name what makes the arms differ.
    dumped = [cell.model_dump(mode="json") for cell in first.values()]
    for cell in dumped:
        cell["training"]["optimizer"]["lr"] = cells[0].training.optimizer.lr
    labels = dict(zip(first, label_cells(dumped), strict=True))
    rows = []
    for cell in cells:
        final = records[cell.slug]["results"]["final"]
        rows.append(
            {
                "arm": arm_of(cell),
                "lr": cell.training.optimizer.lr,
                "seed": cell.seed,
                "accuracy": 0.0 if final is None else final["validation_accuracy"],
                "diverged": final is None,
                "units": records[cell.slug]["costs"]["units"],
                "seconds": sum(records[cell.slug]["seconds"].values()),
            }
        )
    groups = pd.DataFrame(rows).groupby(["arm", "lr"], sort=False)
    table = groups.agg(
        seeds=("seed", lambda seeds: " ".join(map(str, seeds))),
        validation_accuracy_mean=("accuracy", "mean"),
        validation_accuracy_sd=("accuracy", "std"),
        diverged=("diverged", "sum"),
        units=("units", "sum"),
        seconds=("seconds", "sum"),
    )
    table = table.round(DIGITS).reset_index()
    ranked = table.sort_values(["validation_accuracy_mean", "lr"], ascending=[False, True])
    table["chosen"] = table.index.isin(ranked.drop_duplicates("arm").index)
    ends = table.groupby("arm")["lr"].agg(["min", "max"]).loc[table["arm"]]
    outermost = (table["lr"].to_numpy() == ends.to_numpy().T).any(axis=0)
    table["at_edge"] = table["chosen"] & outermost
    named = [_named(labels[arm], first[arm]) for arm in table["arm"]]
    return pd.concat([pd.DataFrame(named), table], axis=1)


def next_rates(table: pd.DataFrame) -> list[float]:
    """What to add to the list of learning rates for the arms whose choice lies at an end of it.

    The list goes on by the factor between its last two; two significant digits, ascending.
    """
    rates = sorted(set(table["lr"]))
    found = []
    for last, before in ((rates[0], rates[1]), (rates[-1], rates[-2])):
        if last in set(table["lr"][table["at_edge"]]):
            found.append(float(f"{last * last / before:.2g}"))
    return found


def write_tuning(table: pd.DataFrame, out: Path) -> Path:
    """Write what :func:`choose` returns as ``tuning.csv`` into ``out``; returns its path."""
    path = out / FILE
    atomic_write_text(path, table.to_csv(index=False, lineterminator="\n"))
    return path


def read_tuning(path: Path) -> pd.DataFrame:
    """Read ``tuning.csv``.

    Raises:
        UserError: it cannot be read, or lacks a column.
    """
    import pandas as pd

    read_learning_rates(path)
    numbers = ("lr", "validation_accuracy_mean", "validation_accuracy_sd", "sparsity")
    kinds = dict.fromkeys(numbers, float) | {"epochs": int, "diverged": int}
    kinds |= {"chosen": bool, "at_edge": bool}
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        table = table.replace({"chosen": {"False": ""}, "at_edge": {"False": ""}})
        lacking = [name for name in kinds if name not in table]
        if lacking:
            raise ValueError(f"no column {lacking[0]!r}")
        kinds |= {name: float for name in COSTS if name in table}
        table["validation_accuracy_sd"] = table["validation_accuracy_sd"].replace("", "nan")
        return table.astype(kinds)
    except ValueError as error:
        raise UserError(f"{path} cannot be read as a table of learning rates: {error}") from error


def _named(label: dict[str, str], cell: Cell) -> dict[str, Any]:
    """An arm's labels in the order of a report's tables; ``family`` says nothing more here."""
    named: dict[str, Any] = {key: value for key, value in label.items() if key != "family"}
    return named | {"sparsity": cell.sparsity, "epochs": cell.training.epochs}
