"""H11: the collapse that the paper prints for a constant coefficient."""

from __future__ import annotations

import numpy as np

from agc.reports.arms import finished
from agc.reports.hypotheses.base import HYPOTHESES, Hypothesis, StudyData
from agc.reports.hypotheses.shared.contrasts import (
    ACCURACY,
    Values,
    arm,
    by_row,
    contrast,
    of_values,
)
from agc.reports.hypotheses.shared.parts import Bounds, Part, Rule, above, make_part
from agc.reports.pooled import counted_at_chance
from agc.reports.statistics import ROUNDING

CHANCE = 0.1
MARGIN = 0.01
FIXED = "constant(pass_images=raw)"
LATER = "constant(pass_images=raw, start=3)"
RAMP = "agc(variant=a-bsr)"


@HYPOTHESES.register("H11")
class Collapse(Hypothesis):
    """A constant of 0.1 under attack at 99 %, against the same with a ramp."""

    key = "H11"
    asks = "Does a constant coefficient collapse under attack at 99 %?"
    reads = (
        "clean accuracy of constant 0.1 with the published code's images, BSR; diverged is chance"
    )
    holds = f"its mean is below twice chance ({200 * CHANCE:g} %)"
    fails = "its mean is above that"
    stages = ("study-collapse",)

    def parts(self, study: StudyData) -> list[Part]:
        """Its accuracy beyond twice chance decides; beside it a ramp, and a later start."""
        records = counted_at_chance(study.of(*self.stages))
        own = finished(arm(records, correction=FIXED))[ACCURACY].dropna().to_numpy(float)
        what = "constant 0.1 - twice chance"
        below = Rule(lambda found: found.high < 0, lambda found: found.low > 0, MARGIN, (0.0,))
        found = _beyond(what, own - 2 * CHANCE, below)
        for other, what in (
            (FIXED, "constant 0.1"),
            (LATER, "constant from epoch 4"),
            (RAMP, "ramp"),
        ):
            pairs = by_row(
                records,
                lambda r: arm(r, correction="none"),
                lambda r, other=other: arm(r, correction=other),
            )
            found += contrast(f"{what} - none", pairs, above(0.0, MARGIN), deciding=False)
        return found


def _beyond(what: str, values: Values, rule: Rule) -> list[Part]:
    """The part that values make, one a seed; where all are the same, their interval is a point.

    Runs that all guess one class are all right in exactly the same share of images: that is the
    collapse, and no lack of an answer.
    """
    if len(values) > 1 and not np.ptp(values) > ROUNDING:
        mean = float(values.mean())
        return [make_part(what, mean, Bounds(mean, mean, mean, mean), rule, pairs=len(values))]
    return of_values(what, [values] if len(values) else [], rule)
