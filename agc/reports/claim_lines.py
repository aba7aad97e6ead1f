"""One estimate from the rows of a claim, beside what two equal arms give in the same measure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agc.reports.families import adjusted, expected_best_of
from agc.reports.pooling import Pooled, pool
from agc.reports.rows import row_intervals
from agc.reports.statistics import CONFIDENCE
from agc.reports.swaps import against_labellings, pooled_against_labellings
from agc.reports.verdict import POINTS, sentence, verdict

Values = NDArray[np.float64]

# ``pool`` asks for a margin; nothing that depends on it is taken where a claim has none.
ANY_MARGIN = 1.0


def difference_line(
    rows: Sequence[Values], groups: Sequence[float], margin: float
) -> dict[str, Any]:
    """Columns of a claim about differences of accuracy; none without a row.

    Swapped labels are flipped signs, so that the null is 0.

    Args:
        rows: [pairs] of differences, fractions, one array a row.
        groups: the sparsity of each row, as rows of one share their spread.
        margin: the largest difference that does not matter, in points.

    Returns:
        In points, with the verdict on the margin.
    """
    if not rows:
        return {}
    found = pool(rows, margin / POINTS.factor, groups)
    single = row_intervals(rows, groups)
    clear = adjusted([row.p for row in single], "fdr_bh") < 1 - CONFIDENCE
    judged = verdict(found.low, found.high, found.low90, found.high90, found.margin, POINTS)
    best = expected_best_of([row.se for row in single]).mean
    return {
        **_estimate(found, POINTS.factor, best),
        **_directions(clear, np.array([row.mean for row in single])),
        **{"p": found.p, "null_mean": 0.0, "swap_p": found.flip_p, "margin": margin},
        **{"detectable": round(POINTS.factor * found.mde, 10)},
        **{"verdict": judged.word, "sentence": sentence(found.mean, judged, found.mde)},
    }


def time_line(
    rows: Sequence[Values],
    groups: Sequence[float],
    swapped: Sequence[Values],
    reached: Sequence[tuple[float, float]],
) -> dict[str, Any]:
    """Columns of a claim about epochs, of which fewer favour the correction; none without a row.

    Args:
        rows: [pairs], what each pair adds to the row's number, one array a row.
        groups: the sparsity of each row, as rows of one share their spread.
        swapped: [labellings], each row's number as of :func:`agc.reports.swaps.swapped_values`.
        reached: what share of runs, or of levels, each row's plain and corrected arm reaches.

    Returns:
        In the rows' own unit. There is no margin, and no verdict.
    """
    if not rows:
        return {}
    found = pool(rows, ANY_MARGIN, groups)
    null = pooled_against_labellings(swapped)
    alone = [against_labellings(values) for values in swapped]
    clear = adjusted([row.p for row in alone], "fdr_bh") < 1 - CONFIDENCE
    best = expected_best_of([row.se for row in row_intervals(rows, groups)]).mean
    plain, corrected = np.mean(reached, axis=0)
    return {
        **_estimate(found, 1.0, null.null_mean - best),
        **_directions(clear, np.array([row.value - row.null_mean for row in alone])),
        **{"null_mean": round(null.null_mean, 10) + 0.0, "swap_p": null.p},
        **{"reached_plain": float(plain), "reached_corrected": float(corrected)},
    }


def _estimate(found: Pooled, factor: float, best: float) -> dict[str, Any]:
    names = ("mean", "low", "high", "low90", "high90", "attained", "pred_low", "pred_high")
    values = {name: factor * getattr(found, name) for name in names}
    values["null_best"] = factor * best
    # What is left of a sum that is 0 is another number on every machine.
    return {"rows": found.k, "pairs": found.n} | {
        name: round(value, 10) + 0.0 for name, value in values.items()
    }


def _directions(clear: NDArray[np.bool_], means: Values) -> dict[str, int]:
    return {"up": int((clear & (means > 0)).sum()), "down": int((clear & (means < 0)).sum())}
