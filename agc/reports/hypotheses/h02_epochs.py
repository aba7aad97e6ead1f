"""H2: the paper's claim of epochs."""

from __future__ import annotations

import numpy as np

from agc.grids.files import Margin
from agc.reports.budgets import COSTS, budget_ladders
from agc.reports.hypotheses.base import HYPOTHESES, Hypothesis, StudyData
from agc.reports.hypotheses.shared.contrasts import arm
from agc.reports.hypotheses.shared.parts import Bounds, Part, make_part, ratio_at_most

MOST = 0.8
EQUAL = 1.0


@HYPOTHESES.register("H2")
class Epochs(Hypothesis):
    """Fewer epochs to equal error."""

    key = "H2"
    asks = "Does the correction need fewer epochs for the same error?"
    reads = "the ratio of epochs to equal test error over a ladder of budgets, RigL at 95 %"
    holds = f"the upper bound of the ratio is at most {MOST:g}"
    fails = f"the lower bound of the ratio is above {MOST:g}"
    stages = ("study-core", "study-ladder")
    confirmatory = True

    def parts(self, study: StudyData) -> list[Part]:
        """The ratio of epochs; beside it that of units, which holds below 1."""
        # Other rows have runs of one budget alone, or plain ones for equal units: no ladder.
        records = arm(study.of(*self.stages), correction=["none", "agc"])
        lines = budget_ladders(records, Margin(epochs=MOST))
        found = []
        for line in lines[lines["measure"] == "test"].itertuples():
            bounds = Bounds(line.low, line.high, line.low90, line.high90)
            own = line.cost == "epochs"
            rule = ratio_at_most(MOST if own else EQUAL)._replace(margin=MOST)
            found.append(
                make_part(
                    f"{line.cost} to equal error, agc / none",
                    line.ratio,
                    bounds,
                    rule,
                    p=_p(line.ratio, line.low, line.high),
                    pairs=line.seeds,
                    detectable=line.detectable,
                    measure=COSTS[line.cost],
                    deciding=own,
                )
            )
        return found


def _p(ratio: float, low: float, high: float) -> float:
    """Of a ratio of 1, from the interval of its logarithm."""
    from scipy.stats import norm

    with np.errstate(divide="ignore", invalid="ignore"):
        se = (np.log(high) - np.log(low)) / (2 * norm.ppf(0.975))
        return float(2 * norm.sf(abs(np.log(ratio)) / se))
