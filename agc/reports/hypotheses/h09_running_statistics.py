"""H9: whether running statistics explain a published code."""

from __future__ import annotations

from agc.reports.hypotheses.base import HYPOTHESES, Hypothesis, StudyData
from agc.reports.hypotheses.shared.contrasts import arm, by_row, contrast
from agc.reports.hypotheses.shared.parts import Part, differs

MARGIN = 0.003
LEFT = "agc(gamma=0.0, variant=a-itop)"


@HYPOTHESES.register("H9")
class RunningStatistics(Hypothesis):
    """What is left of A-ITOP with a coefficient of zero."""

    key = "H9"
    asks = "Do running statistics that advance twice an epoch matter?"
    reads = "a-itop with γ 0 - none, RigL-ITOP at 98 %"
    holds = f"the interval lies outside ±{100 * MARGIN:g} points"
    fails = f"equivalent within ±{100 * MARGIN:g} points"
    stages = ("study-published",)

    def parts(self, study: StudyData) -> list[Part]:
        """One contrast."""
        records = arm(study.of(*self.stages), method="rigl-itop", sparsity=0.98)
        pairs = by_row(
            records, lambda r: arm(r, correction="none"), lambda r: arm(r, correction=LEFT)
        )
        return contrast("a-itop with γ 0 - none", pairs, differs(MARGIN))
