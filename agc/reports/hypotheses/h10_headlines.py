"""H10: where the paper's two headlines live."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.reports.acceleration import tested_arms
from agc.reports.arms import common_seeds, finished
from agc.reports.curves import read_curves
from agc.reports.hypotheses.base import HYPOTHESES, Hypothesis, StudyData
from agc.reports.hypotheses.shared.contrasts import Values, arm, by_row, of_values
from agc.reports.hypotheses.shared.parts import Part, Rule, above, same
from agc.reports.paper_metrics import budget_gaps

if TYPE_CHECKING:
    import pandas as pd

MARGIN = 0.005
FIRST_DROP = 0.25
"""Share of the epochs before the learning rate first drops."""
OTHERS = ("agc", "agc(variant=a-bsr)", "constant(start=3)")


@HYPOTHESES.register("H10")
class Headlines(Hypothesis):
    """The gap to plain training before the first drop, at the end, and in the paper's measures."""

    key = "H10"
    asks = "Do the headlines live before the first drop, and come with any small constant?"
    reads = (
        "constant 0.1 - none within one training of BSR: mean test accuracy of the epochs before "
        "the first drop of the learning rate, and that of the last"
    )
    holds = f"the first is above 0, the second equivalent within ±{100 * MARGIN:g} points"
    fails = f"the first is below 0, or the second surely above {100 * MARGIN:g} points"
    stages = ("study-bsr",)
    needed = 2

    def parts(self, study: StudyData) -> list[Part]:
        """The constant decides; the other arms, and the paper's own metrics, stand beside."""
        records = study.of(*self.stages)
        curves = read_curves(records, study.epochs[study.epochs["slug"].isin(records["slug"])])
        early = above(0.0, MARGIN)
        end = same(MARGIN)
        end = Rule(end.holds, lambda found: found.low > MARGIN, MARGIN, end.compared)
        found = []
        for correction in ("constant", *OTHERS):
            deciding = correction == "constant"
            arms = _arms(records, curves, correction)
            gaps = [other - one for one, other in arms]
            drop = [max(1, round(FIRST_DROP * gap.shape[1])) for gap in gaps]
            before = [gap[:, :last].mean(axis=1) for gap, last in zip(gaps, drop, strict=True)]
            found += of_values(
                f"{correction} - none, before the drop", before, early, deciding=deciding
            )
            last = [gap[:, -1] for gap in gaps]
            found += of_values(f"{correction} - none, last epoch", last, end, deciding=deciding)
            budgets = [budget_gaps(one, other) for one, other in arms]
            what = f"{correction} - none, the paper's six budgets"
            found += of_values(what, budgets, early, deciding=False)
        return found


def _arms(records: pd.DataFrame, curves: dict, correction: str) -> list[tuple[Values, Values]]:
    """[seeds, epochs] of test accuracy of both arms of each row that has pairs."""
    found = []
    for one, other in by_row(
        records,
        lambda r: finished(arm(r, correction="none")),
        lambda r: finished(arm(r, correction=correction)),
    ):
        seeds = common_seeds(one, other)
        arms = tested_arms(*([curves[slug] for slug in a.loc[seeds, "slug"]] for a in (one, other)))
        if arms:
            found.append((arms[0], arms[1]))
    return found
