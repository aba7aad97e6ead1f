"""Corrections side by side: pooled differences, contrasts between two, and their parts."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agc.errors import UserError, unknown
from agc.reports.arms import PLAIN
from agc.reports.families import adjusted
from agc.reports.pooling import Pooled
from agc.reports.tables.formatting import MISSING, number, points, sparsity
from agc.reports.text.effects import Effect, effects, judge_pooled, pool_effects
from agc.reports.text.study import Study, load_study, table

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("recipe", "sparsity")


def corrections(reports: Path, name: str) -> str:
    """Each correction's pooled accuracy at equal epochs and at equal units, with its verdicts."""
    study = load_study(reports, name)
    accuracy = study.pooled[study.pooled["measure"] == "accuracy"]
    units = study.records.groupby(["objective", "correction"])["units_per_epoch"].mean()
    rows = []
    for (objective, correction), lines in accuracy.groupby(["objective", "correction"]):
        row = [objective, correction, number(units[objective, correction])]
        for budget in ("epochs", "planned"):
            line = lines[lines["budget"] == budget]
            row += _estimate(line.iloc[0]) if len(line) else [MISSING, MISSING]
        rows.append(row)
    rows.sort(key=_standard_first)
    header = ["objective", "correction", "units per epoch", "equal epochs", "verdict"]
    return table([*header, "equal units", "verdict"], rows, labels=2)


def contrasts(reports: Path, name: str, *pairs: str) -> str:
    """One correction minus another, paired within rows, for each pair of labels in ``pairs``.

    Raises:
        UserError: no pairs of labels, or a correction that the study has not.
    """
    study = load_study(reports, name)
    if not pairs or len(pairs) % 2:
        raise UserError(f"contrasts of {list(pairs)}: expected two corrections each")
    for label in pairs:
        if label not in set(study.records["correction"]):
            raise unknown("correction", label, set(study.records["correction"]))
    rows = []
    for measure in dict.fromkeys(study.pooled["measure"]):
        for one, other in zip(pairs[::2], pairs[1::2], strict=True):
            every = effects(study.records, one, base=other, measure=measure)
            for _, group in groupby(every, key=lambda effect: effect.task):
                family = list(group)
                objective = family[0].labels["objective"]
                if _measured(study.pooled, objective, measure):
                    found = pool_effects(family, study.margin(measure))
                    head = [f"{one} − {other}", objective, measure]
                    rows.append((head, family, found))
    holm = adjusted([found.p for _, _, found in rows], "holm")
    lines = [
        [
            *head,
            f"{found.k} ({found.n})",
            _interval(found),
            MISSING if np.isnan(p) else f"{p:.3f}",
            f"{100 * found.mde:.2f}",
            judge_pooled(found).word,
        ]
        for (head, _, found), p in zip(rows, holm, strict=True)
    ]
    header = ["contrast", "objective", "measure", "rows (pairs)", "difference", "Holm"]
    return table([*header, "detectable", "verdict"], lines, labels=3)


def by(reports: Path, split: str, name: str) -> str:
    """Pooled accuracy at equal epochs of each correction, apart by recipe or by sparsity, where a
    task has several.

    Raises:
        UserError: another ``split``.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    study = load_study(reports, name)
    names = sorted(set(study.records["correction"]) - {PLAIN})
    every = {correction: effects(study.records, correction) for correction in names}
    parts = sorted({_part(effect, split) for found in every.values() for effect in found})
    rows = []
    for correction, found in every.items():
        for _, group in groupby(found, key=lambda effect: effect.task):
            family = list(group)
            if len({_part(effect, split) for effect in family}) < 2:
                continue
            cells = [_cell(study, [e for e in family if _part(e, split) == part]) for part in parts]
            rows.append([family[0].labels["objective"], correction, *cells])
    rows.sort(key=_standard_first)
    heads = [sparsity(part) if split == "sparsity" else part for part in parts]
    return table(["objective", "correction", *heads], rows, labels=2)


def _standard_first(row: list[str]) -> tuple[bool, str]:
    return row[0] != "standard", row[0]


def _part(effect: Effect, split: str) -> str | float:
    return effect.labels[split]


def _cell(study: Study, rows: list[Effect]) -> str:
    if not rows:
        return MISSING
    found = pool_effects(rows, study.margin("accuracy"))
    return f"{_interval(found)}, {judge_pooled(found).word}"


def _measured(pooled: pd.DataFrame, objective: str, measure: str) -> bool:
    """Whether the study pools a measure for an objective, which trains for it then."""
    return bool(((pooled["objective"] == objective) & (pooled["measure"] == measure)).any())


def _interval(found: Pooled) -> str:
    mean, low, high = (points(100 * value) for value in (found.mean, found.low, found.high))
    return mean if np.isnan(found.low) else f"{mean} [{low}, {high}]"


def _estimate(line: pd.Series) -> list[str]:
    mean, low, high = (points(line[key]) for key in ("mean", "low", "high"))
    interval = "" if np.isnan(line["low"]) else f" [{low}, {high}]"
    return [mean + interval, line["verdict"]]
