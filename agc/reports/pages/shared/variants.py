"""The same study read otherwise: what the answers would be by another choice of the analyst."""

from __future__ import annotations

from collections.abc import Iterator

from agc.reports.findings import findings
from agc.reports.hypotheses.base import Finding, StudyData
from agc.reports.hypotheses.h07_sparsity import MORE
from agc.reports.pooled import counted_at_chance

CAPABILITY = "provenance_cpu_capability"
OTHER_EPOCH = {
    "final_test_accuracy": "best_test_accuracy",
    "final_robust_accuracy": "best_robust_accuracy",
}


def variants(study: StudyData) -> Iterator[tuple[str, StudyData]]:
    """Each other reading with its name; those that would change nothing are left out."""
    records = study.records
    chosen = {last: records[other] for last, other in OTHER_EPOCH.items()}
    yield (
        "the epoch that validation images choose",
        study._replace(records=records.assign(**chosen)),
    )
    less = records[records["sparsity"] != MORE]
    if 0 < len(less) < len(records):
        yield f"without {100 * MORE:g} %", study._replace(records=less)
    if (records["status"] == "diverged").any():
        yield "diverged at chance", study._replace(records=counted_at_chance(records))
    sets = sorted(set(records[CAPABILITY].dropna())) if CAPABILITY in records else []
    for name in sets if len(sets) > 1 else []:
        yield f"{name} alone", study._replace(records=records[records[CAPABILITY] == name])


def read_otherwise(study: StudyData) -> dict[str, list[Finding]]:
    """The hypotheses, judged in each other reading."""
    return {name: findings(other) for name, other in variants(study)}
