"""H0: whether this arena could tell anything."""

from __future__ import annotations

from agc.reports.hypotheses.base import HYPOTHESES, Hypothesis, StudyData
from agc.reports.hypotheses.shared.contrasts import arm, by_row, contrast, with_recipe
from agc.reports.hypotheses.shared.parts import Part, above, same

GAIN = 0.005
NOTHING = 0.003
LONG, USUAL = 67, 20


@HYPOTHESES.register("H0")
class Assay(Hypothesis):
    """Plain training that must gain, sparse training that must, and a placebo that must not."""

    key = "H0"
    asks = "Can this arena tell?"
    reads = (
        f"plain training of {LONG} epochs against {USUAL}; RigL against static training at 98 %; "
        "the placebo, noise of the size of rounding, against none"
    )
    holds = (
        f"the first gains more than {100 * GAIN:g} points, the second gains, the third is nothing"
    )
    fails = "one of them does not; then nothing below is interpreted"
    stages = ("study-core", "study-controls")
    needed = 3

    def parts(self, study: StudyData) -> list[Part]:
        """Three contrasts, all of which decide."""
        plain = arm(study.of(*self.stages), correction="none", method="rigl")
        plain = plain[~with_recipe(plain, "fixed_batches=true")]
        core = study.of("study-core")
        none = arm(core, correction="none", sparsity=0.98)
        longer = by_row(plain, lambda r: arm(r, epochs=USUAL), lambda r: arm(r, epochs=LONG))
        placebo = by_row(
            core, lambda r: arm(r, correction="none"), lambda r: arm(r, correction="placebo")
        )
        return [
            *contrast(f"{LONG} plain epochs - {USUAL}", longer, above(GAIN, GAIN)),
            *contrast(
                "RigL - static, 98 %",
                [(arm(none, method="static"), arm(none, method="rigl"))],
                above(0.0, GAIN),
            ),
            *contrast("placebo - none", placebo, same(NOTHING)),
        ]
