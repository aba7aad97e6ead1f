"""Attacks on equilibrium networks as tables: by budget, and the accuracy that is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.reports.solvers import (
    MEASURED,
    SOLVER,
    conclusion,
    fixed_points,
    solver_runs,
    together,
    trainings,
)
from agc.reports.tables.formatting import MISSING, interval, number, percent, points, sparsity
from agc.reports.tables.markup import TextTable
from agc.reports.tables.systems import read_systems

if TYPE_CHECKING:
    import pandas as pd

SYSTEM = "JIIO"
COURSE = (
    "Mean cross-entropy of attacked test images and accuracy on them, means over the cells of an"
    " objective, first of a seed. PGD starts at random, its steps together are 2.5 radii long; JIIO"
    " starts at the image, and each of its iterations is one cell call and one vector-Jacobian"
    " product. Both are counted, an image. Gap: cross-entropy minus that of PGD-20 on the same"
    " network, with a 95 % t interval over seeds; fewer calls: those of PGD-20 by these; if"
    " stopped: the same with as many calls in each of PGD's solves as bring the change below 0.001."
    " All attacks are judged by a forward pass with all of its calls, which does not count. Not"
    " still: JIIO's attacks that still changed by 1 % in the last iteration that was kept."
)
JUDGED = (
    "Accuracy in percent of the last weights, means over seeds; units of the whole training. Robust"
    " accuracy is that under both: an image counts if it stands PGD of the recipe, with all of its"
    " starts, and JIIO. Residual: relative change of the state in the last call of a forward pass,"
    " over validation images; calls to 0.001: calls until it is below that, where solvers usually"
    " stop; not solved: validation images of all cells that do not get there. Contraction: norm of"
    " the cell, or its bound, which is kept at 0.95 and below."
)


def solver_tables(records: pd.DataFrame, arms: pd.DataFrame) -> list[tuple[str, TextTable]]:
    """Headings and tables.

    Args:
        records: a row for each cell, as collected.
        arms: as of :func:`agc.reports.solvers.solvers`.
    """
    return [
        ("PGD and JIIO by their cell calls", _course(records, arms)),
        ("robust accuracy by both", _judged(records)),
    ]


def solver_lines(arms: pd.DataFrame) -> list[str]:
    """The conclusion, as a line."""
    return [f"{conclusion(arms)}."]


def _course(records: pd.DataFrame, arms: pd.DataFrame) -> TextTable:
    claims = [line["claim"] for line in read_systems() if line["system"] == SYSTEM]
    said = f"{conclusion(arms)}. Its paper claims: {'; '.join(claims)}. "
    runs = solver_runs(records)
    lines = together(runs, ["objective"]).to_dict("records")
    header = ["objective", "solver", "steps", "cross-entropy", "accuracy", "cell calls"]
    header += ["products", "gap", "fewer calls", "if stopped", "not still"]
    return TextTable("Solvers", said + COURSE, header, [_budget(row) for row in lines], labels=2)


def _budget(row: dict[str, Any]) -> list[str]:
    measured = {name: row[name] for name in MEASURED}
    return [
        row["objective"],
        row[SOLVER].upper(),
        str(row["steps"]),
        f"{measured['loss']:.3f}",
        percent(measured["accuracy"], 1),
        number(measured["cell_calls"]),
        number(measured["cell_vjps"]),
        f"{row['gap']:+.3f} {interval(row['gap_low'], row['gap_high'], '{:+.3f}'.format)}",
        f"{row['fewer']:.1f}",
        f"{row['fewer_stopped']:.1f}" if row[SOLVER] == "jiio" else MISSING,
        percent(measured["unconverged"], 1) if row[SOLVER] == "jiio" else MISSING,
    ]


def _trained(records: pd.DataFrame) -> str:
    """What training by JIIO did, a sentence for each objective that was trained by PGD too."""
    return "".join(
        f"Training {line['objective']} instead of {line['instead_of']}, {line['pairs']} pairs of"
        f" runs: robust accuracy {points(line['gain'])} {interval(line['low'], line['high'])}"
        f" points, by {line['cell_calls']:.1f} times fewer cell calls and {line['units']:.1f} times"
        " fewer units. "
        for line in trainings(records).to_dict("records")
    )


def _judged(records: pd.DataFrame) -> TextTable:
    lines = fixed_points(records).to_dict("records")
    recipes = len({line["recipe"] for line in lines}) > 1
    header = ["objective", *(["recipe"] if recipes else []), "method", "correction", "accuracy"]
    header += [
        "units",
        "PGD",
        "JIIO",
        "both",
        "residual",
        "calls to 0.001",
        "not solved",
        "contraction",
    ]
    rows = [
        [
            line["objective"],
            *([line["recipe"]] if recipes else []),
            line["method"] + (f" {sparsity(line['sparsity'])}" if line["sparsity"] else ""),
            line["correction"],
            percent(line["accuracy"], 1),
            number(line["units"]),
            percent(line["robust_accuracy_pgd"], 1),
            percent(line["robust_accuracy_jiio"], 1),
            percent(line["robust_accuracy"], 1),
            f"{line['residual']:.0e}",
            number(line["iterations"]),
            str(line["unconverged"]),
            f"{line['contraction']:.3f}",
        ]
        for line in lines
    ]
    return TextTable(
        "Robust accuracy", _trained(records) + JUDGED, header, rows, labels=4 if recipes else 3
    )
