"""The numbers of a text, and which of them are roundings of values that it may have them from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agc.reports.claims import PAPER, SOURCE
from agc.reports.paper_metrics import BUDGETS, LOWEST

Values = NDArray[np.float64]

PROSE = {
    "95": "confidence of the intervals, and of what a rule allows by chance",
    "90": "confidence of the two one-sided tests for equivalence",
    "0": "no difference",
    "1": "no difference of a ratio",
    "97": "a target of acceleration, percent of the plain runs' final accuracy",
    "99": "a target of acceleration; the sparsity of the paper's headline",
    "100": "a target of acceleration; all that accuracy can be",
    f"{LOWEST:g}": "the lowest level of the paper's measure",
    **{f"{100 * share:g}": "where in a training the paper measures" for share in BUDGETS},
}
"""Numbers of captions, headers and sentences that no data has, each with its reason."""
CELLS = {"0.001": "the least p that is printed"}

_NUMBER = re.compile(r"(?<![\w.])[+-]?\d+(?:\.\d+)?(?!\w)")
_ROUNDING = 1e-8


def values(*sources: Any, scales: Iterable[float] = (1.0,)) -> Values:
    """All finite numbers of frames, arrays, numbers and nested records, in each of the scales.

    A text of nothing but numbers, such as a list of budgets, is numbers, too.
    """
    found = np.fromiter(_flat(sources), dtype=float)
    found = found[np.isfinite(found)]
    return np.unique(np.concatenate([scale * found for scale in scales]))


def unexplained(text: str, allowed: Values, names: Iterable[str] = ()) -> list[str]:
    """The numbers of a generated text that are no rounding of an allowed value, with their lines.

    Args:
        text: Markdown or lines of a terminal; lines of a table's body may have no constants of
            prose.
        allowed: what numbers may be made of.
        names: texts that are data as they stand, such as labels; no number is read within them.
    """
    fixed = {*names, SOURCE, *(claim.place for claim in PAPER.values() if claim.place)}
    named = re.compile("|".join(map(re.escape, sorted(fixed, key=len, reverse=True))))
    wrong = []
    for line, body in _lines(text.replace("\\", "")):
        constants = CELLS if body else PROSE | CELLS
        for found in _NUMBER.findall(named.sub("NAME", line)):
            if found not in constants and not is_rounding(found, allowed):
                wrong.append(f"{found} in: {line.strip()}")
    return wrong


def is_rounding(printed: str, allowed: Values) -> bool:
    """Whether a number, at its own digits and with its sign, is one of the values."""
    _, _, decimals = printed.partition(".")
    half = 0.5 * 10.0 ** -len(decimals) + _ROUNDING
    near = np.searchsorted(allowed, [float(printed) - half, float(printed) + half])
    return bool(near[1] > near[0])


def _lines(text: str) -> list[tuple[str, bool]]:
    """Each line, and whether it is of a table's body: behind the line that aligns its columns."""
    lines, body = [], False
    for line in text.splitlines():
        if re.match(r"\| :?-", line):
            body = True
            continue
        body = body and line.startswith("|")
        lines.append((line, body))
    return lines


def _flat(source: Any) -> Iterable[float]:
    if isinstance(source, pd.DataFrame):
        for name in source:
            yield from _flat(source[name].tolist())
    elif isinstance(source, dict):
        yield from _flat(list(source.values()))
    elif isinstance(source, list | tuple | set | np.ndarray):
        for item in source:
            yield from _flat(item)
    elif isinstance(source, str):
        if re.fullmatch(r"\d+( \d+)*", source):
            yield from map(float, source.split())
    elif isinstance(source, int | float | np.number) and not isinstance(source, bool):
        yield float(source)
