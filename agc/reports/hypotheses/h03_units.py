"""H3: what the correction's computation is worth to plain training."""

from __future__ import annotations

from agc.reports.hypotheses.base import HYPOTHESES, Hypothesis, StudyData
from agc.reports.hypotheses.shared.contrasts import arm, by_row, contrast
from agc.reports.hypotheses.shared.parts import Part, not_below

MARGIN = 0.005
USUAL, LONG = 20, 67


@HYPOTHESES.register("H3")
class EqualComputation(Hypothesis):
    """As good as plain training of as many units."""

    key = "H3"
    asks = "Is it as good as plain training with as much computation?"
    reads = f"agc at {USUAL} epochs - none at {LONG}, RigL at 95 and 98 %"
    holds = f"the lower bound is above -{100 * MARGIN:g} points"
    fails = "the upper bound is below 0"
    stages = ("study-core", "study-controls")
    confirmatory = True

    def parts(self, study: StudyData) -> list[Part]:
        """One pooled contrast."""
        records = arm(study.of(*self.stages), method="rigl", sparsity=[0.95, 0.98])
        pairs = by_row(
            records,
            lambda r: arm(r, correction="none", epochs=LONG),
            lambda r: arm(r, correction="agc", epochs=USUAL),
        )
        rule = not_below(-MARGIN, 0.0, MARGIN)
        return contrast(f"agc, {USUAL} epochs - none, {LONG}", pairs, rule)
