"""The word for an interval, and the sentence that goes with it.

No word is left to whoever writes the text: an interval that contains no difference is equivalence
only where the 90 % interval lies within the margin (two one-sided tests at 5 %), and else no
finding, which is said with what remains possible and what could have been found.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import NamedTuple

import numpy as np

RELEVANT_GAIN = "relevant gain"
GAIN_OPEN = "gain, size open"
SMALL_GAIN = "gain, below relevance"
RELEVANT_HARM = "relevant harm"
HARM_OPEN = "harm, size open"
SMALL_HARM = "harm, below relevance"
EQUIVALENT = "equivalent"
NO_FINDING = "no finding"
NO_INTERVAL = "no interval"

HOLDS = "holds"
FAILS = "does not hold"
OPEN = "open"
NOT_RUN = "not run"
"""What a hypothesis comes to, by the rule that was fixed before."""

DIRECTED = (RELEVANT_GAIN, GAIN_OPEN, SMALL_GAIN, RELEVANT_HARM, HARM_OPEN, SMALL_HARM)
"""The words of an interval that does not contain 0."""

MOST_DIGITS = 6


@dataclass(frozen=True)
class Measure:
    """What an effect is of, and how it is written.

    Attributes:
        unit: after the number, such as "points".
        larger_is_better: for accuracy; not for epochs, loss or a ratio of epochs.
        ratio: the effect is a factor, 1 is no difference, the margin a factor below 1 (0.8 stands
            for 0.8 to 1.25), and it is written as a change in percent.
        factor: from the effect's own unit to the written one, 100 for fractions in points.
        digits: after the point.
    """

    unit: str
    larger_is_better: bool = True
    ratio: bool = False
    factor: float = 1.0
    digits: int = 2


POINTS = Measure("points", factor=100.0)
"""Accuracies, which are fractions."""
EPOCHS = Measure("epochs", larger_is_better=False)
"""Restricted mean epochs to a target."""
CHANGE = Measure("% epochs", larger_is_better=False, ratio=True, digits=1)
"""Ratio of epochs to equal error."""
CHANGE_UNITS = Measure("% units", larger_is_better=False, ratio=True, digits=1)


def marked(word: str, clear: bool) -> str:
    """A word, ``(raw)`` behind it if it is a gain or harm that no adjusted p upholds."""
    return f"{word} (raw)" if word in DIRECTED and not clear else word


class Verdict(NamedTuple):
    """A word and the numbers that it was decided by."""

    word: str
    low: float
    high: float
    low90: float
    high90: float
    margin: float
    measure: Measure


def verdict(
    low: float,
    high: float,
    low90: float,
    high90: float,
    margin: float,
    measure: Measure = POINTS,
) -> Verdict:
    """The word for an effect.

    Args:
        low: lower end of the 95 % interval, in the effect's own unit; NaN: there is none.
        high: its upper end.
        low90: lower end of the 90 % interval.
        high90: its upper end.
        margin: the largest effect that does not matter: above 0, for a ratio between 0 and 1.
        measure: which direction is better, and whether the effect is a ratio.

    Raises:
        ValueError: the margin is not in its range, or the 90 % interval is not within the other.
    """
    if not 0 < margin < (1 if measure.ratio else np.inf):
        allowed = "between 0 and 1" if measure.ratio else "above 0"
        raise ValueError(f"margin {margin!r}: a number {allowed} in {measure.unit}")
    ends = (low, low90, high90, high)
    found = Verdict(NO_INTERVAL, low, high, low90, high90, margin, measure)
    if np.isnan(ends).any():
        return found
    if sorted(ends) != list(ends):
        raise ValueError(f"intervals [{low}, {high}] and [{low90}, {high90}]: the second within")
    least, most, least90, most90, size = _gains(found)
    if least > 0:
        small = most90 < size
        word = RELEVANT_GAIN if least > size else SMALL_GAIN if small else GAIN_OPEN
    elif most < 0:
        small = least90 > -size
        word = RELEVANT_HARM if most < -size else SMALL_HARM if small else HARM_OPEN
    else:
        word = EQUIVALENT if -size < least90 and most90 < size else NO_FINDING
    return found._replace(word=word)


def sentence(effect: float, found: Verdict, detectable: float = np.nan) -> str:
    """One line: the verdict, the effect with its intervals, and what else must be said with them.

    Numbers are rounded once, from what was measured, half to even. They get more digits where a
    bound would else read as if it were what it is compared with.

    Args:
        effect: the estimate, in the effect's own unit.
        found: the verdict on its intervals.
        detectable: the smallest effect that would have been found four times in five; a verdict of
            no finding is not written without.

    Raises:
        ValueError: no finding, and ``detectable`` is NaN.
    """
    measure = found.measure
    digits = _digits(found)

    def text(value: float, signed: bool = True) -> str:
        return _text(value, measure, digits, signed)

    def interval(low: float, high: float) -> str:
        return f"[{text(low)}, {text(high)}]"

    number = "" if np.isnan(effect) else f"{text(effect)} {measure.unit}"
    if found.word == NO_INTERVAL:
        known = "no estimate" if np.isnan(effect) else f"{number}, and nothing tells its spread"
        return f"{found.word}: {known}"
    measured = f"{number} {interval(found.low, found.high)}"
    margin = _margin(found, digits)
    if found.word == EQUIVALENT:
        inner = interval(found.low90, found.high90)
        return f"{found.word} within {margin}: {measured}, with 90 % confidence {inner}"
    if found.word == NO_FINDING:
        if np.isnan(detectable):
            raise ValueError("no finding is not said without the smallest detectable effect")
        remain = f"{number}, anything in {interval(found.low, found.high)} remains possible"
        least = f"{text(detectable, signed=measure.ratio)} {measure.unit}"
        return f"{found.word}: {remain}; smallest detectable effect {least}"
    return f"{found.word}: {measured}, margin {margin}"


def measured(effect: float, found: Verdict) -> str:
    """``+0.28 [-1.10, +1.66] points``, with the digits that the sentence has; empty without one."""
    if np.isnan(effect):
        return ""
    digits = _digits(found)
    ends = (effect, found.low, found.high)
    number, low, high = (
        "" if np.isnan(end) else _text(end, found.measure, digits, True) for end in ends
    )
    return f"{number}{f' [{low}, {high}]' if low else ''} {found.measure.unit}"


def ninety(found: Verdict) -> str:
    """``[-0.86, +1.42]``: the 90 % interval with the same digits; empty where there is none."""
    if found.word == NO_INTERVAL:
        return ""
    digits = _digits(found)
    low, high = (_text(end, found.measure, digits, True) for end in (found.low90, found.high90))
    return f"[{low}, {high}]"


def _gains(found: Verdict) -> tuple[float, float, float, float, float]:
    """95 % and 90 % interval with more being better and 0 no difference, and the margin."""
    ends = np.array([found.low, found.high, found.low90, found.high90])
    size = found.margin
    if found.measure.ratio:
        with np.errstate(divide="ignore"):
            ends, size = np.log(ends), -np.log(size)
    low, high, low90, high90 = ends.tolist()
    if found.measure.larger_is_better:
        return low, high, low90, high90, float(size)
    return -high, -low, -high90, -low90, float(size)


def _digits(found: Verdict) -> int:
    """Digits with which no bound is rounded onto a limit that it is on one side of."""
    if found.word == NO_INTERVAL:
        return found.measure.digits
    measure = found.measure
    margin = found.margin
    limits = (1.0, margin, 1 / margin) if measure.ratio else (0.0, margin, -margin)
    bounds = [found.low, found.high]
    bounds += [found.low90, found.high90] if found.word == EQUIVALENT else []
    for digits in range(measure.digits, MOST_DIGITS):
        alike = [
            bound != limit
            and _text(bound, measure, digits, True) == _text(limit, measure, digits, True)
            for bound in bounds
            for limit in limits
        ]
        if not any(alike):
            return digits
    return MOST_DIGITS


def _margin(found: Verdict, digits: int) -> str:
    measure = found.measure
    if measure.ratio:
        ends = (_text(end, measure, digits, True) for end in (found.margin, 1 / found.margin))
        return f"{' to '.join(ends)} {measure.unit}"
    return f"±{_text(found.margin, measure, digits, False)} {measure.unit}"


def _text(value: float, measure: Measure, digits: int, signed: bool) -> str:
    """A number as it is written; a change in percent for a ratio."""
    if np.isinf(value):
        return "+∞" if value > 0 else "-∞"
    # Decimals of the number's shortest form: 0.285 is a tie as it reads, and 100 times a float
    # is none that was measured.
    exact = Decimal(repr(float(value)))
    exact = 100 * (exact - 1) if measure.ratio else exact * Decimal(repr(measure.factor))
    rounded = exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
    if not rounded:
        return f"{0:.{digits}f}"
    return f"{rounded:+f}" if signed else f"{rounded:f}"
