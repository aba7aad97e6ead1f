"""Plain and corrected runs side by side, paired by seed: the grid's main table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agc.records.failure import WITHOUT_RESULT, loss_key
from agc.reports.acceleration import in_the_papers_measures, to_targets
from agc.reports.arms import PLAIN, common_seeds, finished, paired, planned_runs
from agc.reports.budgets import budget_ladders
from agc.reports.calibration import calibration
from agc.reports.claims import claims
from agc.reports.curves import Curve, read_curves
from agc.reports.entries import pooled_entries
from agc.reports.labels import row_columns
from agc.reports.pooled import MARGIN, pooled
from agc.reports.published import Beside, beside_published
from agc.reports.row_statistics import add_row_statistics
from agc.reports.solvers import solvers
from agc.reports.statistics import paired_difference, summarize

if TYPE_CHECKING:
    import pandas as pd

    from agc.grids.files import Margin

UNTESTED = "runs_without_test_course"
# Name in the comparison, column of the records.
ACCURACIES = {
    "final_accuracy": "final_test_accuracy",
    "best_accuracy": "best_test_accuracy",
    "final_robust": "final_robust_accuracy",
    "best_robust": "best_robust_accuracy",
}


@dataclass(frozen=True)
class Comparison:
    """What a grid measured.

    ``main``: one row for each combination of the axes × sparsity × recipe, the correction last, the
    arms ``plain_*`` and ``corrected_*`` beside each other. Accuracies and their
    differences are fractions; columns in ``_percent`` are percent of the plain run's value.
    ``claims``: one row for each claim of the paper × task × correction × budget (see ``claims``).
    ``pooled``: one estimate from all rows of a task and correction, with its verdict (see
    ``pooled``); in percentage points.
    ``ladder``: ratios of epochs and of units to equal error, where rows were trained for several
    budgets in both arms (see ``budget_ladders``); else without a line.
    ``published``: what others published of the same; None if it was read from a report's files.
    ``entries``: the same of each entry of a later axis, such as an optimizer, against the one that
    it is measured by (see ``pooled_entries``); None where nothing is compared.
    ``solvers``: what attacks on equilibrium networks reached, by arm (see ``solvers``); None if the
    grid has none.
    ``calibration``: the pooled estimates beside those of the placebo (see ``calibration``); None if
    the grid has no placebo arm, or it was read from a report's files.
    """

    main: pd.DataFrame
    claims: pd.DataFrame
    pooled: pd.DataFrame
    ladder: pd.DataFrame
    published: Beside | None = None
    calibration: pd.DataFrame | None = None
    entries: pd.DataFrame | None = None
    solvers: pd.DataFrame | None = None


def compare(records: pd.DataFrame, epochs: pd.DataFrame, margin: Margin = MARGIN) -> Comparison:
    """Compare each correction with the plain run of the same seeds and settings.

    Args:
        records: a row for each cell, as collected.
        epochs: a row for each cell and epoch, as collected.
        margin: the largest differences that do not matter, as the grid has them.
    """
    together = pooled(records, margin)
    return Comparison(
        main=main_table(records, epochs, margin),
        claims=claims(records, read_curves(records, epochs), together, margin),
        pooled=together,
        ladder=budget_ladders(records, margin),
        calibration=calibration(records, together),
        entries=pooled_entries(records, margin),
        solvers=solvers(records),
        published=beside_published(records, epochs),
    )


def main_table(
    records: pd.DataFrame, epochs: pd.DataFrame, margin: Margin = MARGIN
) -> pd.DataFrame:
    """``Comparison.main``: each correction beside the plain run of the same seeds and settings.

    Diverged runs count in ``{arm}_seeds`` and ``{arm}_diverged`` and are left out of every mean.
    So are cells without a result; columns ``{arm}_out_of_memory`` and ``{arm}_unfinished`` count
    them where there are any.
    A row without a plain arm has empty ``plain_*`` columns, and a plain arm without a correction
    one row whose ``correction`` is empty.
    Where test images were not measured after every epoch, what needs that is NaN, and column
    ``runs_without_test_course`` counts such runs of both arms. The last columns are those of
    :func:`agc.reports.row_statistics.add_row_statistics`.

    Args:
        records: a row for each cell, as collected.
        epochs: a row for each cell and epoch, as collected.
        margin: the largest differences that do not matter, by which rows are judged.
    """
    import pandas as pd

    curves = read_curves(records, epochs)
    rows = []
    names = [*row_columns(records.columns), "recipe"]
    for key, group in records.groupby(names, sort=True):
        plain = group[group["correction"] == PLAIN]
        for name in sorted(set(group["correction"]) - {PLAIN}) or [""]:
            corrected = group[group["correction"] == name]
            row = dict(zip(names, key, strict=True)) | {"correction": name}
            row |= compare_arms(plain, corrected, curves)
            rows.append(row | _at_equal_units_planned(records, corrected))
    main = pd.DataFrame(rows)
    for status in WITHOUT_RESULT:
        counts = [f"{arm}_{loss_key(status)}" for arm in ("plain", "corrected")]
        if not main[counts].any(axis=None):
            main = main.drop(columns=counts)
    if not main[UNTESTED].any():
        main = main.drop(columns=UNTESTED)
    return add_row_statistics(main, records, margin)


def compare_arms(
    plain: pd.DataFrame, corrected: pd.DataFrame, curves: dict[str, Curve]
) -> dict[str, Any]:
    """One row of the main table, without its key: both arms and their paired differences."""
    row = _arm("plain", plain) | _arm("corrected", corrected)
    first, second = finished(plain), finished(corrected)
    slugs = [*first.slug, *second.slug]
    row[UNTESTED] = sum(not curves[slug].tested for slug in slugs)
    for name in ("accuracy", "robust"):
        differences = paired(first, second, ACCURACIES[f"final_{name}"])
        row |= _prefixed(f"{name}_difference", paired_difference(differences))
    seeds = common_seeds(first, second)
    arms = [[curves[slug] for slug in arm.loc[seeds, "slug"]] for arm in (first, second)]
    return row | to_targets(*arms) | in_the_papers_measures(*arms)


def _arm(name: str, cells: pd.DataFrame) -> dict[str, Any]:
    """Counts, accuracies and costs of one arm; costs are means over its finished runs."""
    done = finished(cells)
    row: dict[str, Any] = {
        f"{name}_seeds": len(cells),
        f"{name}_diverged": int((cells["status"] == "diverged").sum()),
    }
    for status in WITHOUT_RESULT:
        row[f"{name}_{loss_key(status)}"] = int((cells["status"] == status).sum())
    for key, column in ACCURACIES.items():
        row |= _prefixed(f"{name}_{key}", summarize(done[column].to_numpy(float)))
    row[f"{name}_epochs"] = summarize(done["epochs"]).mean
    row[f"{name}_units_per_epoch"] = summarize(done["units_per_epoch"]).mean
    relative = done["training_flops"] / done["dense_training_flops"]
    row[f"{name}_relative_training_flops"] = summarize(relative).mean
    inference = done["inference_flops"] / done["dense_inference_flops"]
    row[f"{name}_relative_inference_flops"] = summarize(inference).mean
    row[f"{name}_exploration_rate"] = summarize(done["exploration_rate"]).mean
    row[f"{name}_extra_tensors"] = summarize(done["extra_tensors"]).mean
    row |= _prefixed(f"{name}_train_seconds", summarize(done["seconds_train"]))
    return row


def _at_equal_units_planned(records: pd.DataFrame, corrected: pd.DataFrame) -> dict[str, Any]:
    """Accuracy of the correction minus that of plain runs of the grid that were given its units
    as more epochs, with a schedule of their own; empty if the grid has none.
    """
    mine, other = finished(corrected), planned_runs(records, corrected)
    row: dict[str, Any] = {"planned_epochs": float("nan")}
    seeds = common_seeds(other, mine)
    if seeds:
        row["planned_epochs"] = float(other["epochs"].mean())
    for name in ("accuracy", "robust"):
        column = ACCURACIES[f"final_{name}"]
        row |= _prefixed(
            f"planned_{name}_difference", paired_difference(paired(other, mine, column))
        )
        row |= _prefixed(f"planned_{name}", summarize(other.loc[seeds, column].to_numpy(float)))
    return row


def _prefixed(prefix: str, values: Any) -> dict[str, float]:
    return {f"{prefix}_{key}": value for key, value in values._asdict().items()}
