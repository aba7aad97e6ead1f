"""Robust accuracy under attack, row by row, with one adjustment over all that is looked at."""

from __future__ import annotations

from pathlib import Path

from agc.reports.arms import PLAIN
from agc.reports.tables.formatting import MISSING, percent, sparsity
from agc.reports.text.effects import effects, judge_rows
from agc.reports.text.findings import difference
from agc.reports.text.study import load_study, paragraph, table

BUDGETS = {"epochs": "epochs", "planned": "units"}


def bsr(reports: Path, name: str) -> str:
    """Every row of a study of attacks, with Holm's adjustment over the rows of a budget."""
    study = load_study(reports, name)
    pooled = study.pooled[study.pooled["measure"] == "robust"]
    attacked = set(pooled["objective"])
    names = sorted(set(study.records["correction"]) - {PLAIN})
    lines, counts = [], []
    for budget, spoken in BUDGETS.items():
        family = [
            effect
            for correction in names
            for effect in effects(study.records, correction, measure="robust", budget=budget)
            if effect.labels["objective"] in attacked
        ]
        if not family:
            continue
        judged = judge_rows(family, study.margin("robust"), "holm")
        clear = sum(one.clear for one in judged)
        counts.append(f"at equal {spoken} {clear} of {len(family)} rows")
        lines += [
            [
                effect.labels["objective"],
                sparsity(effect.labels["sparsity"]),
                effect.arm,
                spoken,
                percent(effect.base.mean(), 1),
                difference(one, 1),
                MISSING if one.p != one.p else f"{one.p:.3f}",
                one.word,
            ]
            for effect, one in zip(family, judged, strict=True)
        ]
    lines.sort(key=lambda line: (line[3], line[0] != "pgd-at", line[0], line[1], line[2]))
    header = ["objective", "sparsity", "correction", "at equal", PLAIN, "difference", "Holm"]
    text = paragraph(
        f"After Holm's adjustment there differ from 0 {' and '.join(counts)}; *(raw)*: a"
        " verdict that it takes away."
    )
    return f"{table([*header, 'verdict'], lines, labels=4)}\n\n{text}"
