"""Methods compared over many tasks at once; for differences of two arms there is ``pooling``.

Interquartile mean, probability of improvement and the bootstrap that resamples runs within tasks
are those of Agarwal et al., NeurIPS 2021 (arXiv 2108.13264).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agc.reports.statistics import CONFIDENCE

DRAWS = 2_000
TRIMMED = 0.25

Scores = list[NDArray[np.float64]]
"""One array a task, with one score a run."""


class Aggregate(NamedTuple):
    """A number over all runs and tasks with its 95 % bootstrap interval (NaN: there is none)."""

    value: float
    low: float
    high: float
    tasks: int
    runs: int


def iqm(scores: Sequence[ArrayLike], seed: int = 0, draws: int = DRAWS) -> Aggregate:
    """Mean of the middle half of all runs of all tasks.

    Args:
        scores: one array a task, of one score a run; NaN marks a run without a result.
        seed: of the bootstrap.
        draws: of the bootstrap.
    """
    return _aggregate(_middle, _tasks(scores), seed, draws)


def probability_of_improvement(
    first: Sequence[ArrayLike], second: Sequence[ArrayLike], seed: int = 0, draws: int = DRAWS
) -> Aggregate:
    """How often a run of ``first`` beats one of ``second`` on the same task, mean over tasks.

    A tie counts one half: it is Mann's and Whitney's U over the number of pairs of runs. 0.5 is no
    difference. Larger scores are better.

    Args:
        first: one array a task, of one score a run; NaN marks a run without a result.
        second: the same tasks in the same order; the numbers of runs may differ.
        seed: of the bootstrap.
        draws: of the bootstrap.

    Raises:
        ValueError: there are not as many tasks on both sides.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} tasks: both need the same")
    return _aggregate(_beats, _tasks(first, second), seed, draws)


def _middle(sides: tuple[Scores, ...]) -> float:
    from scipy.stats import trim_mean

    return float(trim_mean(np.concatenate(sides[0]), TRIMMED))


def _beats(sides: tuple[Scores, ...]) -> float:
    wins = [
        np.mean(np.sign(one[:, None] - other[None, :]) + 1) / 2
        for one, other in zip(*sides, strict=True)
    ]
    return float(np.mean(wins))


def _tasks(*sides: Sequence[ArrayLike]) -> tuple[Scores, ...]:
    """Each side's tasks without NaN; a task that one side lacks is left out of all."""
    cleaned = []
    for tasks in zip(*sides, strict=True):
        arrays = [np.asarray(task, dtype=np.float64).ravel() for task in tasks]
        arrays = [array[~np.isnan(array)] for array in arrays]
        if all(map(len, arrays)):
            cleaned.append(arrays)
    return tuple([arrays[side] for arrays in cleaned] for side in range(len(sides)))


def _aggregate(
    number: Callable[[tuple[Scores, ...]], float], sides: tuple[Scores, ...], seed: int, draws: int
) -> Aggregate:
    """A number with the middle 95 % of it over runs drawn anew within each task."""
    tasks = [task for side in sides for task in side]
    if not tasks:
        return Aggregate(np.nan, np.nan, np.nan, 0, 0)
    low = high = np.nan
    if any(len(task) > 1 for task in tasks):
        rng = np.random.default_rng(seed)
        found = [
            number(tuple([_redraw(task, rng) for task in s] for s in sides)) for _ in range(draws)
        ]
        low, high = np.quantile(found, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Aggregate(number(sides), float(low), float(high), len(sides[0]), sum(map(len, tasks)))


def _redraw(task: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    return task[rng.integers(len(task), size=len(task))]
