"""One estimate of a hypothesis, and the rules by which it says yes or no."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from agc.reports.verdict import POINTS, Measure, Verdict, sentence, verdict


class Rule(NamedTuple):
    """When an estimate holds, and when it fails, by its intervals; its margin, for the words; and
    the bounds that it compares the intervals with, for figures.
    """

    holds: Callable[[Bounds], bool]
    fails: Callable[[Bounds], bool]
    margin: float
    compared: tuple[float, ...] = ()


class Bounds(NamedTuple):
    """Ends of the 95 % and of the 90 % interval of an effect, in the effect's own unit."""

    low: float
    high: float
    low90: float
    high90: float


class Part(NamedTuple):
    """One estimate: an effect with its intervals, and what the rule says of it.

    Attributes:
        what: what is compared, and over what.
        value: the estimate, in the unit of ``measure`` before its factor.
        bounds: its intervals.
        p: two-sided, of no effect; NaN where there is none.
        rows: how many rows are pooled.
        pairs: of runs, in all rows.
        detectable: the smallest effect found four times in five.
        margin: largest effect that does not matter here.
        measure: what the effect is of.
        holds: whether it says yes by the rule fixed before.
        fails: whether it says no.
        deciding: whether the rule counts it, or it stands beside.
        compared: bounds that the rule compares the intervals with.
    """

    what: str
    value: float
    bounds: Bounds
    p: float
    rows: int
    pairs: int
    detectable: float
    margin: float
    measure: Measure = POINTS
    holds: bool = False
    fails: bool = False
    deciding: bool = True
    compared: tuple[float, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The word for the effect itself, whatever was asked of it."""
        return verdict(*self.bounds, self.margin, self.measure)

    @property
    def sentence(self) -> str:
        """The verdict with its numbers, in one line."""
        return sentence(self.value, self.verdict, self.detectable)


def above(least: float, margin: float) -> Rule:
    """Holds where the effect is surely above ``least``, fails where it is surely below."""
    return Rule(lambda found: found.low > least, lambda found: found.high < least, margin, (least,))


def not_below(least: float, bad: float, margin: float) -> Rule:
    """Holds where the effect is surely above ``least``, fails where it is surely below ``bad``."""
    return Rule(
        lambda found: found.low > least, lambda found: found.high < bad, margin, (least, bad)
    )


def same(within: float) -> Rule:
    """Holds where the effect is equivalent to none within a margin, fails where it is surely one.

    An effect that is surely one may still be too small to matter; then both hold, and it holds.
    """
    return Rule(
        lambda found: _inside(found, within),
        lambda found: not _inside(found, within) and (found.low > 0 or found.high < 0),
        within,
        (-within, within),
    )


def differs(beyond: float) -> Rule:
    """Holds where the effect is surely larger than a margin, either way; fails where equivalent."""
    return Rule(
        lambda found: found.low > beyond or found.high < -beyond,
        lambda found: _inside(found, beyond),
        beyond,
        (-beyond, beyond),
    )


def ratio_at_most(most: float) -> Rule:
    """Of a ratio, of which less is better: holds where it is surely no more, fails where above."""
    return Rule(lambda found: found.high <= most, lambda found: found.low > most, most, (most,))


def _inside(found: Bounds, within: float) -> bool:
    return bool(-within < found.low90 and found.high90 < within)


def make_part(
    what: str,
    value: float,
    bounds: Bounds,
    rule: Rule,
    *,
    p: float = np.nan,
    rows: int = 1,
    pairs: int = 0,
    detectable: float = np.nan,
    measure: Measure = POINTS,
    deciding: bool = True,
) -> Part:
    """An estimate judged by its rule; one without an interval neither holds nor fails."""
    known = not np.isnan(bounds).any()
    return Part(
        what=what,
        value=value,
        bounds=bounds,
        p=p,
        rows=rows,
        pairs=pairs,
        detectable=detectable,
        margin=rule.margin,
        measure=measure,
        holds=known and bool(rule.holds(bounds)),
        fails=known and bool(rule.fails(bounds)),
        deciding=deciding,
        compared=rule.compared,
    )
