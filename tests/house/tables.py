"""The tables that READMEs show, made of the studies' own comparisons."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from tests.house.imports import ROOT

REPORTS = ROOT / "reports"


def comparison(study: str) -> pd.DataFrame:
    """Rows of a study, as ``agc compare`` has written them."""
    rows = pd.read_csv(REPORTS / study / "comparison.csv", keep_default_na=False, na_values=[""])
    order = {"standard": 0, "pgd-at": 1, "trades": 2, "mart": 3}
    return rows.sort_values("objective", key=lambda names: names.map(order), kind="stable")


def answer() -> str:
    """The default grid at 95 % sparsity: what the first page shows."""
    rows = comparison("digits")
    rows = rows[rows.sparsity == 0.95].sort_values(
        "method", key=lambda names: names.map({"static": 0, "set": 1, "rigl": 2}), kind="stable"
    )
    rows = rows.sort_values("objective", ascending=False, kind="stable")
    return _table(
        "objective method none agc difference robust epochs units",
        2,
        (
            (
                row.objective,
                row.method,
                _mean(row.plain_final_accuracy_mean, row.plain_final_accuracy_sd),
                _mean(row.corrected_final_accuracy_mean, row.corrected_final_accuracy_sd),
                _interval(row, "accuracy_difference", 2),
                f"{100 * row.plain_final_robust_mean:.1f} → "
                f"{100 * row.corrected_final_robust_mean:.1f}",
                _change(row.epochs_to_accuracy_change_percent),
                _change(row.units_to_accuracy_change_percent),
            )
            for row in rows.itertuples()
        ),
    )


def summary() -> str:
    """All rows of the default grid in one sentence for accuracy and one for epochs."""
    rows = comparison("digits")
    halves = [rows[rows.objective == name] for name in ("standard", "pgd-at")]
    points = [100 * half.accuracy_difference_mean for half in halves]
    gaps = [100 * half.budget_accuracy_difference_mean for half in halves]
    levels = [half.epochs_to_levels_change_percent for half in halves]
    epochs = [half.epochs_to_accuracy_change_percent.dropna() for half in halves]
    units = [half.units_to_accuracy_change_percent.min() for half in halves]
    above = (rows.accuracy_difference_low > 0).sum()
    below = (rows.accuracy_difference_high < 0).sum()
    return " ".join(
        (
            f"Of all {len(rows)} intervals of the grid {above or 'none'} lie above 0 and {below}"
            f" below; the mean differences are {points[0].mean():+.2f} points in standard training"
            f" and {points[1].mean():+.2f} under attack, and {gaps[0].mean():+.2f} and"
            f" {gaps[1].mean():+.2f} averaged over six epochs (the paper's headline: +5.0).",
            f"The plain run's best accuracy is reached in {len(epochs[0])} of {len(halves[0])} and"
            f" {len(epochs[1])} of {len(halves[1])} rows, with {epochs[0].min():+.0f} % and"
            f" {epochs[1].min():+.0f} % epochs at best; in units the best are {units[0]:+.0f} % and"
            f" {units[1]:+.0f} %. Averaged over levels of accuracy the epochs change by"
            f" {levels[0].mean():+.0f} % and {levels[1].mean():+.0f} % (the paper's headline:"
            f" -52.1 %).",
        )
    )


def corrections() -> str:
    """The grid ``corrections``: differences averaged over its rows, and their intervals counted."""
    rows = comparison("corrections").dropna(subset=["correction"])
    means = {}
    for (objective, correction), group in rows.groupby(["objective", "correction"], sort=False):
        units = group.corrected_units_per_epoch.mean()
        means[objective, correction] = (
            f"{units:.1f}".removesuffix(".0"),
            _counted(group, "accuracy_difference"),
            _counted(group, "planned_accuracy_difference"),
            _counted(group, "robust_difference"),
        )
    order = sorted(means, key=lambda key: (key[0] != "standard", key[1]))
    return _table(
        "objective|correction|units per epoch|equal epochs|equal units|robust, equal epochs",
        2,
        ((*key, *means[key]) for key in order),
    )


def methods() -> str:
    """The grid ``methods`` without correction: accuracy by sparsity, FLOPs at 95 %."""
    rows = comparison("methods")
    levels = (0.8, 0.9, 0.95, 0.98)
    found = {
        (row.method, row.sparsity): _mean(
            row.plain_final_accuracy_mean, row.plain_final_accuracy_sd
        )
        for row in rows.itertuples()
    }
    flops = {
        row.method: f"{row.plain_relative_training_flops:.3f}"
        for row in rows.itertuples()
        if row.sparsity == 0.95
    }
    names = sorted({method for method, level in found if level in levels})
    lines = [("dense", found["dense", 0.0], "", "", "", "1")]
    lines += [
        (name, *(found.get((name, level), "") for level in levels), flops.get(name, ""))
        for name in names
    ]
    return _table("method|80 %|90 %|95 %|98 %|training FLOPs at 95 %", 1, lines)


def bsr() -> str:
    """The grid ``bsr`` under attack: robust accuracy, and the two corrections' differences."""
    rows = comparison("bsr")
    rows = rows[(rows.objective != "standard") & rows.correction.notna()]
    lines = []
    for (objective, sparsity), group in rows.groupby(["objective", "sparsity"], sort=False):
        by_name = {row.correction: row for row in group.itertuples()}
        ours, published = by_name["agc"], by_name["agc(variant=a-bsr)"]
        plain = f"{100 * ours.plain_final_robust_mean:.1f}"
        differences = [
            _interval(row, name, 1)
            for name in ("robust_difference", "planned_robust_difference")
            for row in (ours, published)
        ]
        lines.append((objective, f"{100 * sparsity:.0f} %", plain, *differences))
    heads = "objective|sparsity|none|agc|a-bsr|agc, equal units|a-bsr, equal units"
    return _table(heads, 2, lines)


TABLES = {
    "README.md": [answer, summary],
    "reports/README.md": [corrections, methods, bsr],
}


def _table(heads: str, left: int, rows: Iterable[Iterable[str]]) -> str:
    """Markdown, with ``left`` columns of text and numbers after them."""
    names = heads.split("|") if "|" in heads else heads.split()
    rule = [":---"] * left + ["---:"] * (len(names) - left)
    return "\n".join(f"| {' | '.join(line)} |" for line in (names, rule, *rows))


def _mean(mean: float, deviation: float) -> str:
    return f"{100 * mean:.2f} ± {100 * deviation:.2f}"


def _interval(row: object, name: str, digits: int) -> str:
    mean, low, high = (100 * getattr(row, f"{name}_{end}") for end in ("mean", "low", "high"))
    if pd.isna(mean):
        return ""
    return f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def _counted(group: pd.DataFrame, name: str) -> str:
    above, below = (group[f"{name}_low"] > 0).sum(), (group[f"{name}_high"] < 0).sum()
    return f"{100 * group[f'{name}_mean'].mean():+.2f} ({above}, {below} of {len(group)})"


def _change(percent: float) -> str:
    return "not reached" if pd.isna(percent) else f"{percent:+.0f} %"
