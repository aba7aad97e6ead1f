"""What a hypothesis is: a question, the estimates that answer it, and a rule fixed before.

A hypothesis is a class in a file of its own, registered in :data:`HYPOTHESES` under its key. It
names the stages of the study that it needs, and makes :class:`Part`s of their records.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from agc.registry import Registry
from agc.reports.hypotheses.shared.parts import Part
from agc.reports.verdict import FAILS, HOLDS, NOT_RUN, OPEN

if TYPE_CHECKING:
    import pandas as pd

HYPOTHESES = Registry("hypothesis", "agc.reports.hypotheses")


class StudyData(NamedTuple):
    """What a joint grid has measured.

    Attributes:
        records: a row for each cell, as collected, with labels of all stages together.
        epochs: a row for each cell and epoch.
        stages: slugs of each stage's cells, by the name of its grid.
        gradients: measured moments of gradients (``agc diagnose``), a row for each cell and moment
            of its training; None where there are none.
    """

    records: pd.DataFrame
    epochs: pd.DataFrame
    stages: Mapping[str, frozenset[str]]
    gradients: pd.DataFrame | None = None

    def of(self, *stages: str) -> pd.DataFrame:
        """The records of some stages; a cell of several stands once."""
        slugs = frozenset().union(*(self.stages.get(name, frozenset()) for name in stages))
        return self.records[self.records["slug"].isin(slugs)]


class Hypothesis(ABC):
    """One question of the study.

    ``asks`` is the question, ``reads`` how it was made an estimate, ``holds`` and ``fails`` the
    rule in words: what it takes to say yes, and no. What neither says is open.
    """

    key: ClassVar[str]
    asks: ClassVar[str]
    reads: ClassVar[str]
    holds: ClassVar[str]
    fails: ClassVar[str]
    stages: ClassVar[tuple[str, ...]]
    confirmatory: ClassVar[bool] = False
    """Whether it is one of the few that were named as such beforehand."""
    needed: ClassVar[int] = 1
    """How many deciding parts it has when everything has been run."""

    @abstractmethod
    def parts(self, study: StudyData) -> list[Part]:
        """The estimates, the deciding ones first; none of what has not been run."""


class Finding(NamedTuple):
    """What a hypothesis came to: ``word`` is one of ``holds``, ``does not hold``, ``open`` and
    ``not run``; ``p_holm`` of the first part is adjusted over the confirmatory hypotheses.
    """

    hypothesis: Hypothesis
    parts: Sequence[Part]
    word: str
    p_holm: float


def conclude(parts: Sequence[Part], needed: int) -> str:
    """The word for a hypothesis by its deciding parts: all hold, or one fails.

    Args:
        parts: its estimates.
        needed: how many deciding parts there are when everything has been run.
    """
    deciding = [part for part in parts if part.deciding]
    if any(part.fails for part in deciding):
        return FAILS
    if not deciding:
        return NOT_RUN
    if len(deciding) >= needed and all(part.holds for part in deciding):
        return HOLDS
    return OPEN
