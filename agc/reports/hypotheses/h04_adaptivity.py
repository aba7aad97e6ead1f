"""H4: whether it matters that the coefficient adapts."""

from __future__ import annotations

from agc.reports.hypotheses.base import HYPOTHESES, Hypothesis, StudyData
from agc.reports.hypotheses.shared.contrasts import arm, by_row, contrast
from agc.reports.hypotheses.shared.parts import Part, differs

MARGIN = 0.003
BESIDE = {
    "constant(c=0.09)": "the mean coefficient of agc",
    "alpha-svrg": "a coefficient that falls by schedule",
    "agc(estimator=online, gamma=1.0)": "γ 1, estimated within the epoch",
}
"""Correction in full, what it is: compared with agc as well, deciding nothing."""


@HYPOTHESES.register("H4")
class Adaptivity(Hypothesis):
    """An adaptive coefficient against one that is fixed."""

    key = "H4"
    asks = "Does it matter that the coefficient adapts?"
    reads = "agc - constant 0.1, RigL at 95 and 98 %"
    holds = f"the interval lies outside ±{100 * MARGIN:g} points"
    fails = f"the two are equivalent within ±{100 * MARGIN:g} points"
    stages = ("study-core", "study-controls")

    def parts(self, study: StudyData) -> list[Part]:
        """agc against the constant; beside it against other coefficients."""
        records = arm(study.of(*self.stages), method="rigl", sparsity=[0.95, 0.98])
        found = []
        for other, what in {"constant": "0.1 throughout", **BESIDE}.items():
            pairs = by_row(
                records,
                lambda r, other=other: arm(r, correction=other),
                lambda r: arm(r, correction="agc"),
            )
            deciding = other == "constant"
            found += contrast(f"agc - {other} ({what})", pairs, differs(MARGIN), deciding=deciding)
        return found
