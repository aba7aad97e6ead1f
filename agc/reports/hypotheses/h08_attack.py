"""H8: what the published code does under attack, and why."""

from __future__ import annotations

from agc.reports.hypotheses.base import HYPOTHESES, Hypothesis, StudyData
from agc.reports.hypotheses.shared.contrasts import ACCURACY, ROBUST, arm, contrast
from agc.reports.hypotheses.shared.parts import Part, Rule, above, same

MARGIN = 0.01
PUBLISHED = "agc(variant=a-bsr)"
CLEAN_SHARE = "pgd-at(clean_share=0.1)"
ROWS = (("bsr", 0.9), ("rigl", 0.95))


class _UnderAttack(Hypothesis):
    """Two rows of adversarial training."""

    stages = ("study-attack",)

    @staticmethod
    def robust(
        study: StudyData,
        what: str,
        one: dict[str, str],
        other: dict[str, str],
        rule: Rule,
        column: str = ROBUST,
        deciding: bool = True,
    ) -> list[Part]:
        """Second arm minus first; an objective with a clean share is another one by its name."""
        records = study.of("study-attack")
        pairs = []
        for method, sparsity in ROWS:
            runs = arm(records, method=method, sparsity=sparsity)
            shared = runs["objective"].str.contains("clean_share=0.1", regex=False)
            arms = [
                arm(
                    runs[shared == (name.get("objective") == CLEAN_SHARE)],
                    correction=name["correction"],
                )
                for name in (one, other)
            ]
            pairs.append((arms[0], arms[1]))
        return contrast(what, pairs, rule, column, deciding=deciding)


NONE = {"correction": "none"}
OURS = {"correction": "agc"}
THEIRS = {"correction": PUBLISHED}
BIAS = {"correction": "clean-bias"}
SHARE = {"correction": "none", "objective": CLEAN_SHARE}


@HYPOTHESES.register("H8a")
class Robustness(_UnderAttack):
    """The published code against none."""

    key = "H8a"
    asks = "Under attack, is the published code more robust than none?"
    reads = "a-bsr - none, robust accuracy, BSR at 90 % and RigL at 95 %"
    holds = f"the lower bound is above {100 * MARGIN:g} point"
    fails = f"the upper bound is below {100 * MARGIN:g} point"
    confirmatory = True

    def parts(self, study: StudyData) -> list[Part]:
        """Robust accuracy decides; clean accuracy stands beside it."""
        rule = above(MARGIN, MARGIN)
        what = "a-bsr - none"
        return [
            *self.robust(study, f"{what}, robust", NONE, THEIRS, rule),
            *self.robust(study, f"{what}, clean", NONE, THEIRS, rule, ACCURACY, deciding=False),
        ]


@HYPOTHESES.register("H8b")
class CleanGradient(_UnderAttack):
    """The published code against its bit of clean gradient alone."""

    key = "H8b"
    asks = "Is that the bit of clean gradient which its pass brings?"
    reads = "a-bsr - a tenth of clean loss, and a-bsr - the clean bias alone, robust accuracy"
    holds = f"both are equivalent within ±{100 * MARGIN:g} point"
    fails = "one of them surely differs"
    needed = 2

    def parts(self, study: StudyData) -> list[Part]:
        """Both decide; what each of the two does by itself stands beside."""
        rule = same(MARGIN)
        return [
            *self.robust(study, "a-bsr - clean share of 0.1", SHARE, THEIRS, rule),
            *self.robust(study, "a-bsr - clean bias", BIAS, THEIRS, rule),
            *self.robust(study, "clean share of 0.1 - none", NONE, SHARE, rule, deciding=False),
            *self.robust(study, "clean bias - none", NONE, BIAS, rule, deciding=False),
        ]


@HYPOTHESES.register("H8c")
class CorrectedUnderAttack(_UnderAttack):
    """The corrected implementation against none."""

    key = "H8c"
    asks = "And without that bias?"
    reads = "agc - none, robust accuracy, the same rows"
    holds = f"equivalent within ±{100 * MARGIN:g} point"
    fails = "it surely differs"

    def parts(self, study: StudyData) -> list[Part]:
        """Robust accuracy decides; clean accuracy stands beside it."""
        rule = same(MARGIN)
        return [
            *self.robust(study, "agc - none, robust", NONE, OURS, rule),
            *self.robust(study, "agc - none, clean", NONE, OURS, rule, ACCURACY, deciding=False),
        ]
