"""The hypotheses of a study as tables: one line each, and a line for each of their estimates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agc.reports.hypotheses.base import Finding
from agc.reports.hypotheses.shared.parts import Part
from agc.reports.tables.formatting import MISSING, p_value
from agc.reports.tables.markup import TextTable
from agc.reports.verdict import measured, ninety

if TYPE_CHECKING:
    import pandas as pd

FILE = "hypotheses.csv"
BOX = (
    "What each hypothesis comes to by the rule that was fixed before: by the estimates that decide"
    " it, each with its 95 % interval. Holm: p of no effect of the first of them, adjusted over the"
    " confirmatory hypotheses; the others are exploratory. What the rule neither affirms nor denies"
    " is open."
)
BOX_HEADER = ["", "question", "by the rule", "estimate", "rows (pairs)", "Holm"]
PARTS = (
    "Estimates of the last epoch, second arm named first: its 95 % interval and its 90 % one, the"
    " margin, and the smallest effect that would be found four times in five. Decides: whether the"
    " hypothesis' rule counts it, and what it says by that rule. The verdict is the effect's own,"
    " whatever was asked of it."
)
PARTS_HEADER = [
    *("", "what", "decides", "rows (pairs)", "estimate", "90 %", "margin", "p", "detectable"),
    "verdict",
]
COLUMNS = (
    *("key", "what", "deciding", "value", "low", "high", "low90", "high90", "p", "p_holm"),
    *("rows", "pairs", "detectable", "margin", "unit", "effect", "hypothesis"),
)


def verdict_box(findings: Sequence[Finding]) -> TextTable:
    """A line for each hypothesis."""
    rows = []
    for found in findings:
        deciding = [part for part in found.parts if part.deciding]
        counts = [f"{part.rows} ({part.pairs})" for part in deciding]
        estimates = [measured(part.value, part.verdict) for part in deciding]
        row = [found.hypothesis.key, found.hypothesis.asks, found.word]
        row += ["; ".join(estimates) or MISSING, "; ".join(counts) or MISSING]
        rows.append([*row, p_value(found.p_holm)])
    return TextTable("Hypotheses", BOX, BOX_HEADER, rows, labels=5, wrapped=(1, 3))


def parts_table(findings: Sequence[Finding]) -> TextTable:
    """A line for each estimate of each hypothesis, those that decide first."""
    rows = [
        [found.hypothesis.key, *_cells(part)]
        for found in findings
        for part in sorted(found.parts, key=lambda part: not part.deciding)
    ]
    return TextTable("Estimates", PARTS, PARTS_HEADER, rows, labels=3, wrapped=(1, 9))


def parts_frame(findings: Sequence[Finding]) -> pd.DataFrame:
    """Every number of every estimate, in its own unit: fractions for points, factors for ratios.

    A hypothesis without an estimate has one line, without numbers.
    """
    import pandas as pd

    lines: list[dict[str, Any]] = []
    for found in findings:
        head = {"key": found.hypothesis.key, "hypothesis": found.word}
        for part in found.parts:
            first = part is found.parts[0]
            lines.append(
                head
                | {"what": part.what, "deciding": part.deciding, "value": part.value}
                | part.bounds._asdict()
                | {"p": part.p, "p_holm": found.p_holm if first else float("nan")}
                | {"rows": part.rows, "pairs": part.pairs, "detectable": part.detectable}
                | {"margin": part.margin, "unit": part.measure.unit, "effect": part.verdict.word}
            )
        if not found.parts:
            lines.append(head | {"what": "", "deciding": False, "rows": 0, "pairs": 0})
    frame = pd.DataFrame(lines, columns=list(COLUMNS))
    return frame.astype({"rows": int, "pairs": int, "deciding": bool})


def says(part: Part) -> str:
    """What an estimate says by the rule of its hypothesis; it may stand beside it alone."""
    if not part.deciding:
        return "beside"
    return "no" if part.fails else "yes" if part.holds else "open"


def size(value: float, part: Part) -> str:
    """A margin or a smallest effect, in the written unit; of a ratio as it is."""
    if value != value:
        return MISSING
    measure = part.measure
    text = f"{value:.2f}" if measure.ratio else f"{measure.factor * value:.2f}"
    return text.rstrip("0").rstrip(".")


def _cells(part: Part) -> list[str]:
    margin = size(part.margin, part)
    return [
        part.what,
        says(part),
        f"{part.rows} ({part.pairs})",
        measured(part.value, part.verdict) or MISSING,
        ninety(part.verdict) or MISSING,
        margin if part.measure.ratio else f"±{margin}",
        p_value(part.p),
        size(part.detectable, part),
        part.verdict.word,
    ]
