"""Whether another set of records of the same cells says the same.

Another machine, another version of a library, another number of threads: each redraws every cell
in its last bits, and accuracy with them as much as another seed would. So two sets either have
the same bits, or are two independent draws, and what can be reproduced is an estimate: that of
the effect of a correction, and the level of each arm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from agc.reports.rows import Estimate, mean_of_rows, pooled_sd
from agc.reports.same_cells import SameCells
from agc.reports.same_rows import MEASURES, Row, Values, rows_of
from agc.reports.statistics import CONFIDENCE
from agc.reports.verdict import (
    EQUIVALENT,
    RELEVANT_GAIN,
    RELEVANT_HARM,
    SMALL_GAIN,
    SMALL_HARM,
    verdict,
)

IDENTICAL = "identical"
REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
OPEN = "open"


class Gap(NamedTuple):
    """Difference of two estimates, with its 95 % and 90 % interval (NaN: there is none)."""

    mean: float
    low: float
    high: float
    low90: float
    high90: float

    @property
    def attained(self) -> float:
        """The least margin within which the two would agree."""
        return max(abs(self.low90), abs(self.high90))


@dataclass(frozen=True)
class Agreement:
    """One number in both sets, and the word for its difference; all in fractions.

    Attributes:
        measure: of :data:`MEASURES`.
        effect: a correction's effect, minus none and paired by seed; else the level of an arm.
        objective: its label.
        correction: its label.
        row: the row's name; empty if all rows are pooled.
        rows: how many rows both sets have a number of.
        lost: how many rows only one has a number of.
        here: the estimate of this set.
        there: that of the other set.
        gap: here minus there.
        margin: the largest gap that does not matter.
        word: :data:`IDENTICAL`, :data:`REPRODUCED`, :data:`NOT_REPRODUCED` or :data:`OPEN`.
    """

    measure: str
    effect: bool
    objective: str
    correction: str
    row: str
    rows: int
    lost: int
    here: Estimate
    there: Estimate
    gap: Gap
    margin: float
    word: str


@dataclass(frozen=True)
class Check:
    """What a second set of records says of the first.

    Attributes:
        same: the common cells.
        pooled: effects first, then levels, over all rows.
        rows: the effects row by row.
    """

    same: SameCells
    pooled: list[Agreement]
    rows: list[Agreement]

    @property
    def word(self) -> str:
        """The least that holds of all pooled numbers; rows by themselves decide nothing.

        Nothing is called reproduced where a cell finished in one set alone, which no mean shows.
        """
        if self.same.identical.all():
            return IDENTICAL
        words = {found.word for found in self.pooled}
        if NOT_REPRODUCED in words:
            return NOT_REPRODUCED
        if OPEN in words or not words or self.same.other_status:
            return OPEN
        return REPRODUCED

    @property
    def holds(self) -> bool:
        """Whether the other set says the same, and there were runs enough to tell."""
        return self.word in (IDENTICAL, REPRODUCED)


def check_against(same: SameCells, margins: Mapping[str, float]) -> Check:
    """Judge each correction's effect, and each arm's accuracy, by a second set of records.

    The difference of the sets is that of two independent draws, over the rows that both have, each
    counting the same; rows with the same losses and accuracies add nothing to its spread. Where a
    seed leaves a trace in both draws, the intervals are too wide rather than too narrow.
    Robust accuracy is judged where the training was adversarial: elsewhere it is next to nothing.

    Args:
        same: the cells.
        margins: largest difference that does not matter, in percentage points, of each of
            :data:`MEASURES`.
    """
    pooled: list[Agreement] = []
    rows: list[Agreement] = []
    for effect in (True, False):
        for measure in MEASURES:
            for (objective, correction), found in rows_of(same, measure, effect).items():
                key = (measure, effect, objective, correction)
                both = [row for row in found if len(row.here) and len(row.there)]
                lost = sum(bool(len(row.here)) != bool(len(row.there)) for row in found)
                if not both and not lost:
                    continue
                margin = margins[measure] / 100
                pooled.append(_pooled(key, both, lost, margin))
                if effect:
                    rows += _each(key, both, margin)
    return Check(same, pooled, rows)


def difference(here: Estimate, there: Estimate, share: float = 1.0) -> Gap:
    """Difference of two independent estimates, with Satterthwaite's degrees of freedom.

    Args:
        here: one estimate.
        there: the other.
        share: of the rows that were drawn anew, which alone are in the estimates; the others
            differ by nothing.
    """
    from scipy.stats import t

    mean = share * (here.mean - there.mean)
    parts = np.array([here.se, there.se]) ** 2
    square = float(parts.sum())
    if not square > 0:
        return Gap(mean, np.nan, np.nan, np.nan, np.nan)
    df = square**2 / float((parts**2 / np.array([here.df, there.df])).sum())
    half, half90 = (
        float(t.ppf(0.5 + confidence / 2, df)) * share * np.sqrt(square)
        for confidence in (CONFIDENCE, 0.9)
    )
    return Gap(*map(float, (mean, mean - half, mean + half, mean - half90, mean + half90)))


def word_for(gap: Gap, margin: float) -> str:
    """The word for a difference of two draws.

    Reproduced: its 90 % interval lies within the margin (two one-sided tests at 5 %). Not
    reproduced: its 95 % interval lies beyond the margin on one side. Open: all else, a
    difference that is not 0 and may or may not matter included.
    """
    found = verdict(gap.low, gap.high, gap.low90, gap.high90, margin).word
    if found in (EQUIVALENT, SMALL_GAIN, SMALL_HARM):
        return REPRODUCED
    return NOT_REPRODUCED if found in (RELEVANT_GAIN, RELEVANT_HARM) else OPEN


def _pooled(
    key: tuple[str, bool, str, str], rows: Sequence[Row], lost: int, margin: float
) -> Agreement:
    def estimate(chosen: Sequence[Row], side: str) -> Estimate:
        return mean_of_rows([getattr(row, side) for row in chosen], [row.group for row in chosen])

    here, there = estimate(rows, "here"), estimate(rows, "there")
    redrawn = [row for row in rows if row.redrawn]
    if redrawn or not rows:
        share = len(redrawn) / len(rows) if rows else 1.0
        gap = difference(estimate(redrawn, "here"), estimate(redrawn, "there"), share)
        word = word_for(gap, margin)
    else:
        gap, word = Gap(0.0, 0.0, 0.0, 0.0, 0.0), IDENTICAL
    if lost and word != NOT_REPRODUCED:
        word = OPEN
    return Agreement(*key, "", len(rows), lost, here, there, gap, margin, word)


def _each(key: tuple[str, bool, str, str], rows: Sequence[Row], margin: float) -> list[Agreement]:
    """Row by row; a few differences do not tell their spread, so rows of a group share it."""

    def estimate(row: Row, side: str) -> Estimate:
        own: Values = getattr(row, side)
        sd, df = pooled_sd([getattr(other, side) for other in rows if other.group == row.group])
        se = sd / np.sqrt(len(own)) if sd > 0 else np.nan
        return Estimate(float(own.mean()), float(se), df)

    found = []
    for row in rows:
        here, there = estimate(row, "here"), estimate(row, "there")
        gap, word = Gap(0.0, 0.0, 0.0, 0.0, 0.0), IDENTICAL
        if row.redrawn:
            gap = difference(here, there)
            word = word_for(gap, margin)
        found.append(Agreement(*key, row.name, 1, 0, here, there, gap, margin, word))
    return found
