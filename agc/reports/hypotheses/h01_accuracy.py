"""H1: the paper's claim of accuracy."""

from __future__ import annotations

from agc.reports.hypotheses.base import HYPOTHESES, Hypothesis, StudyData
from agc.reports.hypotheses.shared.contrasts import arm, by_row, contrast
from agc.reports.hypotheses.shared.parts import Part, above

MARGIN = 0.005
ON_DIGITS = 0.01
BESIDE = (
    ("study-published", "agc(variant=a-itop)", "the published code of ITOP", MARGIN),
    ("study-bsr", "agc", "BSR, 90 and 99 %", MARGIN),
    ("study-digits", "agc", "digits", ON_DIGITS),
    ("study-networks", "agc", "other networks and sizes", MARGIN),
    ("study-noise", "agc", "batches of 32 and 512", MARGIN),
)
"""Stage, correction in full, what it is, margin: judged by the same rule, deciding nothing."""


@HYPOTHESES.register("H1")
class Accuracy(Hypothesis):
    """More accuracy at equal epochs."""

    key = "H1"
    asks = "Does the correction raise accuracy at equal epochs?"
    reads = "agc - none, last epoch, over the seven rows of the core; a learning rate for each arm"
    holds = f"the lower bound is above {100 * MARGIN:g} points"
    fails = f"the upper bound is below {100 * MARGIN:g} points"
    stages = ("study-core",)
    confirmatory = True

    def parts(self, study: StudyData) -> list[Part]:
        """The pooled rows of the core; beside it what other stages say."""
        found = self._against_none(study, "study-core", "agc", "core", MARGIN, deciding=True)
        for stage, correction, what, margin in BESIDE:
            found += self._against_none(study, stage, correction, what, margin, deciding=False)
        return found

    @staticmethod
    def _against_none(
        study: StudyData, stage: str, correction: str, what: str, margin: float, deciding: bool
    ) -> list[Part]:
        records = study.of(stage)
        pairs = [
            pair
            for _, runs in records.groupby("recipe", sort=True)
            for pair in by_row(
                runs,
                lambda r: arm(r, correction="none"),
                lambda r: arm(r, correction=correction),
            )
        ]
        rule = above(margin, margin)
        return contrast(f"{correction} - none, {what}", pairs, rule, deciding=deciding)
