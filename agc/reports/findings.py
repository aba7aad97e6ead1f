"""All hypotheses of a study, judged."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from agc.reports.families import adjusted
from agc.reports.hypotheses.base import HYPOTHESES, Finding, Hypothesis, StudyData, conclude


def hypotheses() -> list[Hypothesis]:
    """One of each, in the order of their keys."""

    def order(key: str) -> tuple[int, str]:
        number, letter = re.fullmatch(r"H(\d+)([a-z]?)", key).groups()
        return int(number), letter

    return [HYPOTHESES[key].target() for key in sorted(HYPOTHESES.names(), key=order)]


def findings(study: StudyData, asked: Sequence[Hypothesis] | None = None) -> list[Finding]:
    """What each hypothesis came to; confirmatory ones have their p adjusted by Holm together.

    Args:
        study: what was measured.
        asked: the hypotheses; all of them if left out.
    """
    asked = hypotheses() if asked is None else asked
    parts = [hypothesis.parts(study) for hypothesis in asked]
    family = [
        own[0].p if hypothesis.confirmatory and own else np.nan
        for hypothesis, own in zip(asked, parts, strict=True)
    ]
    return [
        Finding(hypothesis, own, conclude(own, hypothesis.needed), float(p))
        for hypothesis, own, p in zip(asked, parts, adjusted(family, "holm"), strict=True)
    ]
