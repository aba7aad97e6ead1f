"""H6: whether the effect follows the noise of the gradient."""

from __future__ import annotations

import pandas as pd

from agc.reports.hypotheses.base import HYPOTHESES, Hypothesis, StudyData
from agc.reports.hypotheses.shared.contrasts import arm, of_values, seed_differences, with_recipe
from agc.reports.hypotheses.shared.parts import Part, differs

MARGIN = 0.0025
BATCHES = {32: -1.0, 512: 1.0}
"""Batch size, and how many factors of 4 it is from the usual 128, which no slope needs."""
STRONG = "agc(estimator=online, gamma=1.0)"


@HYPOTHESES.register("H6")
class Regime(Hypothesis):
    """The effect of the strong correction over the size of the batch."""

    key = "H6"
    asks = "Does its effect follow the noise of the gradient?"
    reads = "the effect of γ 1 at a batch of 512 minus that at 32, per factor 4; RigL at 95 %"
    holds = f"the interval lies outside ±{100 * MARGIN:g} points"
    fails = f"equivalent within ±{100 * MARGIN:g} points"
    stages = ("study-noise",)

    def parts(self, study: StudyData) -> list[Part]:
        """The slope of γ 1, which decides, and that of γ 0.1."""
        records = study.of(*self.stages)
        found = []
        for correction in (STRONG, "agc"):
            effects = {
                size: seed_differences(
                    arm(runs, correction="none"), arm(runs, correction=correction)
                )
                for size in BATCHES
                for runs in [records[with_recipe(records, f"batch_size={size}")]]
            }
            table = pd.DataFrame(effects).dropna()
            spread = sum(place**2 for place in BATCHES.values())
            slope = sum(table[size] * place / spread for size, place in BATCHES.items())
            rows = [slope.to_numpy(float)] if len(table) else []
            what = f"{correction}: effect per factor 4 of the batch"
            found += of_values(what, rows, differs(MARGIN), deciding=correction == STRONG)
        return found
