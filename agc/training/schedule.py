"""Learning-rate schedules of torch, by epoch."""

from __future__ import annotations

from typing import Protocol

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    SequentialLR,
)

from agc.grids.settings import LearningRate


class Schedule(Protocol):
    """Sets the learning rates of an optimizer."""

    def step(self) -> None:
        """After each epoch."""


def make_schedule(
    settings: LearningRate, optimizer: Optimizer, epochs: int, rounds: int = 1
) -> Schedule:
    """The learning-rate schedule, to be stepped after each epoch.

    Args:
        settings: which one.
        optimizer: whose learning rates it sets.
        epochs: of the whole training.
        rounds: it runs this often from its start to its end.
    """
    if rounds == 1:
        return _single(settings, optimizer, epochs)
    return Restarts(settings, optimizer, epochs, rounds)


class Restarts:
    """A schedule that starts anew with each of several rounds of equal length."""

    def __init__(
        self, settings: LearningRate, optimizer: Optimizer, epochs: int, rounds: int
    ) -> None:
        self.settings = settings
        self.optimizer = optimizer
        self.starts = [k * epochs // rounds for k in range(rounds + 1)]
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.epoch = 0
        self.inner = _single(settings, optimizer, self.starts[1])

    def step(self) -> None:
        """After an epoch: go on, or start anew at the first learning rates."""
        self.epoch += 1
        if self.epoch not in self.starts[1:-1]:
            self.inner.step()
            return
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = group["initial_lr"] = rate
        number = self.starts.index(self.epoch)
        length = self.starts[number + 1] - self.epoch
        self.inner = _single(self.settings, self.optimizer, length)


def _single(settings: LearningRate, optimizer: Optimizer, epochs: int) -> LRScheduler:
    rest = max(1, epochs - settings.warmup)
    main: LRScheduler
    if settings.name == "cosine":
        main = CosineAnnealingLR(optimizer, T_max=rest)
    elif settings.name == "step":
        # Never before the first epoch has ended, however short the training is.
        milestones = [max(1, int(part * epochs) - settings.warmup) for part in settings.milestones]
        main = MultiStepLR(optimizer, milestones, gamma=settings.factor)
    else:
        main = ConstantLR(optimizer, factor=1.0)
    if settings.warmup == 0:
        return main
    warmup = LinearLR(
        optimizer, start_factor=1 / (settings.warmup + 1), total_iters=settings.warmup
    )
    return SequentialLR(optimizer, [warmup, main], milestones=[settings.warmup])
