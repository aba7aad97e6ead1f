"""Stand-ins for entries that the committed grids name and that an installation may lack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agc.methods.set import SET
from agc.objectives.pgd_at import PGDAdversarialTraining
from agc.objectives.standard import Standard
from agc.registry import DATASETS, METHODS, OBJECTIVES, Entry

DATA = ("cifar10", "cifar100", "svhn", "imagenet", "fashion-mnist")


def data() -> None:
    """Stands for a data set; a plan needs no more than its name."""


class Smoothed(Standard):
    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        raise NotImplementedError


class Trades(PGDAdversarialTraining):
    def __init__(self, *, epsilon: float, step_size: float, steps: int, beta: float) -> None:
        raise NotImplementedError


def complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register a stand-in for each entry that is not there; what is there stays."""

    def stand_in(registry: Any, name: str, target: Callable[..., Any]) -> None:
        monkeypatch.setitem(registry._entries, name, Entry(name, target))

    for name in DATA:
        if name not in DATASETS.names():
            stand_in(DATASETS, name, data)
    if "bsr" not in METHODS.names():
        stand_in(METHODS, "bsr", SET)
    if "trades" not in OBJECTIVES.names():
        stand_in(OBJECTIVES, "trades", Trades)
    if "label_smoothing" not in OBJECTIVES.options("standard").model_fields:
        stand_in(OBJECTIVES, "standard", Smoothed)
