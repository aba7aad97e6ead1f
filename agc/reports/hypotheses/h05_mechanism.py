"""H5: whether the correction acts as a reduction of variance."""

from __future__ import annotations

import numpy as np

from agc.reports.hypotheses.base import HYPOTHESES, Hypothesis, StudyData
from agc.reports.hypotheses.shared.contrasts import arm, by_row, contrast
from agc.reports.hypotheses.shared.parts import Bounds, Part, Rule, make_part, same
from agc.reports.hypotheses.shared.units import VARIANCE
from agc.reports.rows import smallest_detectable

MARGIN = 0.003
LOWEST, HIGHEST = 0.81, 0.97
LARGER, SHORTER = 157, 25


@HYPOTHESES.register("H5")
class Mechanism(Hypothesis):
    """The variance that it takes away, and batches that take away as much."""

    key = "H5"
    asks = "Is what it does a reduction of variance?"
    reads = (
        f"Var(corrected gradient) / Var(gradient) at γ 0.1; agc - none with batches of {LARGER} in "
        "as many steps, RigL at 95 and 98 %"
    )
    holds = f"the ratio lies in {LOWEST:g} to {HIGHEST:g}, and the two are equivalent"
    fails = "the ratio lies outside, or the two surely differ"
    stages = ("study-core", "study-controls")
    needed = 2

    def parts(self, study: StudyData) -> list[Part]:
        """The ratio where it has been measured, and the contrast."""
        records = arm(study.of(*self.stages), method="rigl", sparsity=[0.95, 0.98])
        pairs = by_row(
            records,
            lambda r: arm(r, correction="none", epochs=SHORTER),
            lambda r: arm(r, correction="agc"),
        )
        what = f"agc - none with batches of {LARGER}"
        return [*_ratio(study), *contrast(what, pairs, same(MARGIN))]


def _ratio(study: StudyData) -> list[Part]:
    """Geometric mean over seeds of the ratio of variances of agc's cells; none if not measured."""
    from scipy.stats import t

    if study.gradients is None:
        return []
    own = study.gradients
    own = own[own["correction"] == "agc"].dropna(subset=["ratio_used"])
    cells = np.log(own["ratio_used"]).groupby(own["slug"]).mean().to_numpy(float)
    if len(cells) < 2:
        return []
    mean, se = cells.mean(), cells.std(ddof=1) / np.sqrt(len(cells))
    half, half90 = (t.ppf(q, len(cells) - 1) * se for q in (0.975, 0.95))
    ends = (mean - half, mean + half, mean - half90, mean + half90)
    bounds = Bounds(*(float(np.exp(end)) for end in ends))
    rule = Rule(
        lambda found: found.low >= LOWEST and found.high <= HIGHEST,
        lambda found: found.high < LOWEST or found.low > HIGHEST,
        HIGHEST,
        (LOWEST, HIGHEST),
    )
    return [
        make_part(
            "variance with the correction / without",
            float(np.exp(mean)),
            bounds,
            rule,
            pairs=len(cells),
            detectable=float(np.exp(-smallest_detectable(se, len(cells) - 1))),
            measure=VARIANCE,
        )
    ]
