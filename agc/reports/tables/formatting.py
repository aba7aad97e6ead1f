"""Numbers of a comparison as text: one place, so that all tables say the same thing alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from agc.records.failure import WITHOUT_RESULT, loss_key
from agc.reports.statistics import CONFIDENCE
from agc.reports.verdict import marked

MISSING = "–"


def percent(value: float, digits: int = 2) -> str:
    """A fraction in percent, without the sign."""
    return MISSING if _empty(value) else f"{100 * value:.{digits}f}"


def change(value: float) -> str:
    """A change that is in percent already."""
    return MISSING if _empty(value) else f"{value:+.1f} %"


def points(value: float) -> str:
    """A difference that is in percentage points already."""
    return MISSING if _empty(value) else f"{round(value, 2) + 0.0:+.2f}"


def number(value: float, digits: int = 1) -> str:
    """A plain number; whole ones without a fraction."""
    if _empty(value):
        return MISSING
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def sparsity(value: float) -> str:
    """Sparsity in percent, or a dash for a dense network."""
    return f"{100 * value:g} %" if value else MISSING


def accuracy(row: Any, arm: str, measure: str, count: bool = True) -> str:
    """``86.92 ± 0.50 (3)``: mean, sample standard deviation, number of seeds.

    ``(2 of 3)`` where the other run diverged, ``3 of 3 diverged`` where none is left. Without
    ``count`` the number of seeds is left out where none diverged.
    """
    mean, sd, n = (getattr(row, f"{arm}_{measure}_{key}") for key in ("mean", "sd", "n"))
    lost = [status for status in ("diverged", *WITHOUT_RESULT) if _count(row, arm, status)]
    if not n:
        return ", ".join(f"{loss(row, arm, status)} {status}" for status in lost) or MISSING
    of = f" of {getattr(row, f'{arm}_seeds')}" if lost else ""
    if n == 1:
        return f"{100 * mean:.2f} (n=1{of})"
    text = f"{100 * mean:.2f} ± {100 * sd:.2f}"
    return f"{text} ({n}{of})" if count or of else text


def divergence(row: Any, arm: str) -> str:
    """``1 of 3``: how many runs of an arm diverged."""
    return loss(row, arm, "diverged")


def loss(row: Any, arm: str, status: str) -> str:
    """``1 of 3``: how many runs of an arm have this status."""
    seeds = getattr(row, f"{arm}_seeds")
    return f"{_count(row, arm, status)} of {seeds}" if seeds else MISSING


def incomplete(row: Any) -> bool:
    """Whether an arm has cells without a result."""
    arms = ("plain", "corrected")
    return any(_count(row, arm, status) for arm in arms for status in WITHOUT_RESULT)


def _count(row: Any, arm: str, status: str) -> int:
    # The columns of cells without a result are there only where there are such cells.
    return getattr(row, f"{arm}_{loss_key(status)}", 0)


def difference(row: Any, measure: str) -> str:
    """``+0.07 [-0.69, +0.83]``: paired difference in points, with its 95 % interval.

    ``+0.28 (n=3)`` where there is none: one seed, or the same difference in all of them.
    """
    mean, low, high, n = (
        getattr(row, f"{measure}_difference_{key}") for key in ("mean", "low", "high", "n")
    )
    return _interval(mean, low, high, n)


def shared_difference(row: Any, measure: str) -> str:
    """The same with the interval from the spread that all rows of its like share."""
    mean, low, high, n = (
        getattr(row, f"{measure}_difference_{key}")
        for key in ("mean", "low_pooled", "high_pooled", "n")
    )
    return _interval(mean, low, high, n)


def row_verdict(row: Any, measure: str) -> str:
    """A row's verdict, ``(raw)`` behind it if it is a gain or harm that no adjusted p upholds."""
    word = getattr(row, f"{measure}_difference_verdict")
    clear = getattr(row, f"{measure}_difference_p_bh") < 1 - CONFIDENCE
    return marked(word, clear) or MISSING


def epochs_difference(row: Any, target: str) -> str:
    """``+0.33 [-0.51, +1.18]``: epochs to a target, corrected minus plain, with the interval.

    ``+1.00 (n=3)`` where there is none; ``diverged`` where all corrected runs did.
    """
    mean, low, high, n = (
        getattr(row, f"epochs_to_{target}_difference_{key}") for key in ("mean", "low", "high", "n")
    )
    if not n:
        all_diverged = row.corrected_diverged and row.corrected_diverged == row.corrected_seeds
        return "diverged" if all_diverged else MISSING
    if _empty(low):
        return f"{points(mean)} (n={n})"
    return f"{points(mean)} {interval(low, high)}"


def interval(low: float, high: float, show: Callable[[float], str] = points) -> str:
    """``[-0.51, +1.18]``, or a dash."""
    return MISSING if _empty(low) else f"[{show(low)}, {show(high)}]"


def p_value(value: float) -> str:
    """Three digits, and nothing below them."""
    if _empty(value):
        return MISSING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _interval(mean: float, low: float, high: float, n: int) -> str:
    if not n:
        return MISSING
    if _empty(low):
        return f"{100 * mean:+.2f} (n={n})"
    return f"{100 * mean:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"


def _empty(value: Any) -> bool:
    return value is None or math.isnan(value)
