"""H7: whether more zeros need more correction."""

from __future__ import annotations

from agc.reports.hypotheses.base import HYPOTHESES, Hypothesis, StudyData
from agc.reports.hypotheses.shared.contrasts import arm, of_values, seed_differences
from agc.reports.hypotheses.shared.parts import Part, above

MARGIN = 0.005
LESS, MORE = 0.9, 0.98


@HYPOTHESES.register("H7")
class SparsityPremise(Hypothesis):
    """The premise of the paper: sparse training has the larger variance, and gains more."""

    key = "H7"
    asks = "Does it help more where more weights are zero?"
    reads = f"(agc - none) at {100 * MORE:g} % minus the same at {100 * LESS:g} %, RigL, by seed"
    holds = f"the lower bound is above {100 * MARGIN:g} points"
    fails = f"the upper bound is below {100 * MARGIN:g} points"
    stages = ("study-core",)

    def parts(self, study: StudyData) -> list[Part]:
        """One difference of differences."""
        records = arm(study.of(*self.stages), method="rigl")
        effects = {
            sparsity: seed_differences(
                arm(records, sparsity=sparsity, correction="none"),
                arm(records, sparsity=sparsity, correction="agc"),
            )
            for sparsity in (LESS, MORE)
        }
        values = (effects[MORE] - effects[LESS]).dropna().to_numpy(float)
        what = f"effect at {100 * MORE:g} % - effect at {100 * LESS:g} %"
        return of_values(what, [values] if len(values) else [], above(MARGIN, MARGIN))
