"""H11: the collapse that the paper prints for a constant coefficient."""

from __future__ import annotations

from agc.reports.arms import finished
from agc.reports.hypotheses.base import HYPOTHESES, Hypothesis, StudyData
from agc.reports.hypotheses.shared.contrasts import ACCURACY, arm, by_row, contrast, of_values
from agc.reports.hypotheses.shared.parts import Part, Rule, above
from agc.reports.pooled import counted_at_chance

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
        below = Rule(lambda found: found.high < 0, lambda found: found.low > 0, MARGIN, (0.0,))
        rows = [own - 2 * CHANCE] if len(own) else []
        found = of_values("constant 0.1 - twice chance", rows, below)
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
