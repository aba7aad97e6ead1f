"""Numbers of a comparison as text: one place, so that all tables say the same thing alike."""

from __future__ import annotations

import math
from typing import Any

from agc.records.failure import WITHOUT_RESULT, loss_key
from agc.reports.statistics import CONFIDENCE
from agc.reports.verdict import DIRECTED

MISSING = "–"
NOT_REACHED = "not reached"


def percent(value: float, digits: int = 2) -> str:
    """A fraction in percent, without the sign."""
    return MISSING if _empty(value) else f"{100 * value:.{digits}f}"


def change(value: float) -> str:
    """A change that is in percent already."""
    return MISSING if _empty(value) else f"{value:+.1f} %"


def points(value: float) -> str:
    """A difference that is in percentage points already."""
    return MISSING if _empty(value) else f"{value:+.2f}"


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
    return f"{word} (raw)" if word in DIRECTED and not clear else word or MISSING


def reached(row: Any, measure: str, target: str) -> str:
    """Epochs, units or seconds after which the corrected arm reaches a target."""
    value = getattr(row, f"corrected_{measure}_to_{target}")
    return _crossed(row, target, number(value))


def reached_change(row: Any, measure: str, target: str) -> str:
    """Change of epochs, units or seconds to a target, in percent."""
    return _crossed(row, target, change(getattr(row, f"{measure}_to_{target}_change_percent")))


def _crossed(row: Any, target: str, text: str) -> str:
    crossing = getattr(row, f"{target}_crossing")
    if crossing == "":
        all_diverged = row.corrected_diverged and row.corrected_diverged == row.corrected_seeds
        return "diverged" if all_diverged else MISSING
    return NOT_REACHED if crossing == "not reached" else text


def _interval(mean: float, low: float, high: float, n: int) -> str:
    if not n:
        return MISSING
    if _empty(low):
        return f"{100 * mean:+.2f} (n={n})"
    return f"{100 * mean:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"


def _empty(value: Any) -> bool:
    return value is None or math.isnan(value)
