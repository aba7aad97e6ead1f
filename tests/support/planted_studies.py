"""Effects to plant in the cells of a study, and a study that takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from agc.grids.cell import Cell
from agc.reports.findings import findings
from agc.reports.hypotheses.base import HYPOTHESES, Finding, StudyData
from tests.support.study_records import (
    made_gradients,
    replanted,
)

SD = 0.001
DOUBLING = 0.012
"""What twice the epochs give by the plain truth."""
LONG = DOUBLING * np.log2(67 / 20)


def of(correction: str, by: float, **options: object) -> Callable[[Cell], float]:
    """An effect of one correction with these options."""

    def effect(cell: Cell) -> float:
        own = cell.correction
        same = all(own.options.get(key) == value for key, value in options.items())
        return by * (own.name == correction and same)

    return effect


def agc(by: float) -> Callable[[Cell], float]:
    return of("agc", by, gamma=0.1)


def by_batch(by: float) -> Callable[[Cell], float]:
    """γ 1 gains this much for each factor of 4 of the batch."""
    strong = of("agc", by, gamma=1.0)
    return lambda cell: strong(cell) * np.log(cell.training.batch_size / 128) / np.log(4)


def by_zeros(by: float) -> Callable[[Cell], float]:
    return lambda cell: agc(by)(cell) * (cell.sparsity == 0.98)


def noise(sd: float) -> Callable[[Cell], float]:
    return lambda cell: sd * np.random.default_rng(int(cell.digest[:8], 16)).normal()


def longer(by: float) -> Callable[[Cell], float]:
    return lambda cell: by * (cell.training.epochs == 67)


def nothing(cell: Cell) -> float:
    return 0.0


@dataclass(frozen=True)
class Made:
    study: StudyData
    stages: dict[str, tuple[Cell, ...]]

    def planted(self, effect: Callable[[Cell], float], ratio: float | None = None) -> Made:
        study = replanted(self.study, self.stages, effect)
        gradients = None if ratio is None else made_gradients(study, ratio)
        return replace(self, study=study._replace(gradients=gradients))

    def without(self, *names: str) -> Made:
        left = {name: slugs for name, slugs in self.study.stages.items() if name not in names}
        return replace(self, study=self.study._replace(stages=left))

    def finding(self, key: str) -> Finding:
        (found,) = findings(self.study, [HYPOTHESES[key].target()])
        return found
