"""Line searches by a parabola through losses along a line, and the slope where it begins.

Places are in units of the first, trial step; whoever asks for a loss moves the weights there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Point = tuple[float, float]
"""A place, and the loss there."""


def minimiser(points: Sequence[Point], slope: float) -> float | None:
    """Where the parabola nearest to ``points``, in least squares, and to ``slope`` at 0 is least.

    Returns:
        The place; None if the parabola does not open upwards or a loss is not finite.
    """
    import numpy as np

    places, losses = np.array(points, dtype=float).T
    if not (np.isfinite(losses).all() and math.isfinite(slope)):
        return None
    values = np.stack([places**2, places, np.ones_like(places)], axis=1)
    equations = np.concatenate([values, [[0.0, 1.0, 0.0]]])
    # From the first loss on: a small curvature is not lost beside a large loss.
    known = np.append(losses - losses[0], slope)
    a, b, _ = np.linalg.lstsq(equations, known)[0]
    return float(-b / (2 * a)) if a > 0 else None


def careful_search(
    loss: Callable[[float], float],
    start: float,
    slope: float,
    *,
    bound: float,
    tries: int,
    points: int,
) -> float:
    """The place in [0, ``bound``] of the least loss that was seen; 0 if none is below ``start``.

    The least point of each fit is tried until one is below ``start``, or nothing new is to be seen.

    Args:
        loss: at a place.
        start: the loss at 0.
        slope: of the loss at 0.
        bound: the largest place, at least 1.
        tries: fits; with one alone its least point is taken without a look at it.
        points: 2 or 3: a try replaces the point before it in the next fit, or joins it.
    """
    seen = {0.0: start, 1.0: loss(1.0)}
    fitted = [0.0, 1.0]
    for _ in range(tries):
        place = minimiser([(one, seen[one]) for one in fitted], slope)
        if place is None:
            break
        place = min(max(place, 0.0), bound)
        if tries == 1:
            return place
        if place in seen:
            break
        seen[place] = loss(place)
        fitted = [0.0, place] if points == 2 else [*fitted, place]
        if seen[place] < start:
            break
    finite = {place: value for place, value in seen.items() if math.isfinite(value)}
    return min(finite, key=finite.__getitem__, default=0.0)


def published_search(
    loss: Callable[[float], float],
    start: float,
    slope: float,
    *,
    bound: float,
    tries: int,
    points: int,
) -> float:
    """The place that the published code stops at: the last one, be it worse than 0 or below it.

    Arguments as of :func:`careful_search`. A point that was seen is looked at again.
    """
    fitted = [(0.0, start), (1.0, loss(1.0))]
    place = 0.0
    for _ in range(tries):
        least = minimiser(fitted, slope)
        place = min(fitted, key=lambda point: point[1])[0] if least is None else least
        place = min(place, bound)
        if tries > 1:
            value = loss(place)
            fitted = [fitted[0], (place, value)] if points == 2 else [*fitted, (place, value)]
            if value < start:
                break
        if least is None:
            break
    return place
