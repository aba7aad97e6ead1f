"""Sparse-training methods without correction: their accuracies, and each against one of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agc.errors import unknown
from agc.reports.arms import PLAIN
from agc.reports.families import Contrast, many_to_one
from agc.reports.statistics import CONFIDENCE, summarize
from agc.reports.tables.formatting import MISSING, percent, sparsity
from agc.reports.text.study import load_study, paragraph, span, table

if TYPE_CHECKING:
    import pandas as pd

COLUMN = "final_test_accuracy"


def methods(reports: Path, name: str) -> str:
    """Final test accuracy of each method by sparsity, and its FLOPs of training."""
    plain = _plain(reports, name)
    levels = sorted(set(plain["sparsity"]) - {0.0})
    middle = levels[len(levels) // 2]
    rows = []
    for method, runs in plain.groupby("method"):
        by_level = dict(list(runs.groupby("sparsity")))
        if 0.0 in by_level:
            rows.insert(0, [method, _accuracy(by_level[0.0]), *[MISSING] * (len(levels) - 1), "1"])
        else:
            cells = [
                _accuracy(by_level[level]) if level in by_level else MISSING for level in levels
            ]
            rows.append([method, *cells, _flops(by_level.get(middle))])
    heads = [sparsity(level) for level in levels]
    header = ["method", *heads, f"training FLOPs at {sparsity(middle)}"]
    same = _same(plain)
    parts = [table(header, rows)]
    if same:
        parts.append(paragraph(f"The same numbers in all cells have {same}."))
    return "\n\n".join(parts)


def dunnett(reports: Path, name: str, control: str) -> str:
    """The methods that differ from ``control`` at a sparsity, and by how much one would have to.

    Raises:
        UserError: the study has no such method.
    """
    plain = _plain(reports, name)
    if control not in set(plain["method"]):
        raise unknown("method", control, set(plain["method"]))
    rows, notes = [], []
    for level, group in plain[plain["sparsity"] > 0].groupby("sparsity"):
        values = {method: runs[COLUMN].to_numpy(float) for method, runs in group.groupby("method")}
        base = values.pop(control, None)
        if base is None:
            continue
        found = many_to_one(values, base)
        clear = {arm: one for arm, one in found.items() if one.p < 1 - CONFIDENCE}
        rows += [[sparsity(level), arm, *_contrast(one)] for arm, one in clear.items()]
        widths = [50 * (one.high - one.low) for one in found.values()]
        notes.append(
            f"at {sparsity(level)} {len(clear)} of {len(found)} differ, and intervals reach"
            f" {span(widths)} points to either side"
        )
    text = paragraph(
        f"Each method against `{control}` (Dunnett's test: the intervals of a sparsity hold"
        f" together with 95 % confidence, and share one spread): {'; '.join(notes)}."
        " Those that differ:"
    )
    header = ["sparsity", "method", f"minus {control}, points", "p"]
    return f"{text}\n\n{table(header, rows, labels=2)}"


def _plain(reports: Path, name: str) -> pd.DataFrame:
    records = load_study(reports, name).records
    return records[(records["correction"] == PLAIN) & (records["status"] == "finished")]


def _accuracy(runs: pd.DataFrame | None) -> str:
    if runs is None:
        return MISSING
    found = summarize(runs[COLUMN])
    return f"{percent(found.mean)} ± {percent(found.sd)}"


def _flops(runs: pd.DataFrame | None) -> str:
    if runs is None:
        return MISSING
    return f"{(runs['training_flops'] / runs['dense_training_flops']).mean():.3f}"


def _contrast(one: Contrast) -> list[str]:
    mean, low, high = (f"{100 * value:+.2f}" for value in (one.difference, one.low, one.high))
    return [f"{mean} [{low}, {high}]", "<0.001" if one.p < 0.001 else f"{one.p:.3f}"]


def _same(plain: pd.DataFrame) -> str:
    """Methods whose cells all have the same accuracies, whose rules do not differ so early."""
    groups: dict[tuple[float, ...], list[str]] = {}
    for method, runs in plain.groupby("method"):
        values = runs.sort_values(["sparsity", "seed"])[COLUMN]
        groups.setdefault(tuple(values), []).append(f"`{method}`")
    return " and ".join(", ".join(names) for names in groups.values() if len(names) > 1)
