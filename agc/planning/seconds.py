"""What one cell will cost, from its counted units and what a step of its kind takes here."""

from __future__ import annotations

from dataclasses import dataclass

from agc.datasets.base import held_out
from agc.grids.cell import Cell
from agc.optimizers.base import optimizer_cost
from agc.planning.calibration import Timing
from agc.planning.declared import PLAIN
from agc.registry import CORRECTIONS, METHODS, OBJECTIVES

UNITS = 0.15
"""Share by which a unit of a correction or a method may take longer or shorter than one of a plain
step: half the spread between the corrections of the study ``corrections``, whose seconds per unit
lie within a factor of 1.3."""

BITS = 32
"""Of a weight."""

MODEL = 0.1
"""Share by which a step of a training may take longer or shorter than the ones that were timed."""

WEIGHTS = 2
"""Files of weights that a cell leaves: those of the last epoch, and the best ones."""

HEADER, TEXTS, ROW, LAYER, RECORD, IMAGE = 5e3, 11e3, 320, 47, 100, 0.75
"""Bytes: of a file of weights beside them; of a cell's other files; of these for each epoch, for
each epoch and layer, for each layer, and for each test image."""


@dataclass(frozen=True)
class Cost:
    """What a cell is predicted to cost.

    Attributes:
        train: seconds of its training steps.
        evaluation: seconds of what is measured after epochs.
        setup: seconds before its first step.
        attacks: seconds of the standard attack on the finished network.
        low: of all seconds, the low end of an interval; it may be given as known.
        high: the high end.
        memory: bytes of a process that trains it.
        disk: bytes of its files.
        load: seconds of the clock for a second, when the step was timed.
        source: where it is known from.
    """

    train: float
    evaluation: float
    setup: float
    attacks: float
    low: float
    high: float
    memory: float
    disk: float
    load: float
    source: str

    @property
    def seconds(self) -> float:
        """All of them."""
        return self.train + self.evaluation + self.setup + self.attacks


def steps_per_epoch(cell: Cell, images: int) -> int:
    """Steps of an epoch.

    Args:
        cell: any.
        images: training images that the data set has.
    """
    training = cell.training
    left = images - held_out(images, training.validation)
    return max(1, min(left, training.images or left) // training.batch_size)


def cost(cell: Cell, timing: Timing, source: str) -> Cost:
    """Predict a cell from the timing of its kind.

    What a correction, a method or an optimizer declares is priced as gradients of the objective's
    loss, and a correction's own attacks as the objective's.
    """
    objective = OBJECTIVES[cell.objective.name].target
    options, epochs = cell.objective.options, cell.training.epochs
    extra = CORRECTIONS[cell.correction.name].target.cost(**cell.correction.options)
    sampled = METHODS[cell.method.name].target.step_units(**cell.method.options)
    optimizer = cell.training.optimizer
    searched = optimizer_cost(optimizer.name, optimizer.options).step
    gradients = (extra.step + extra.snapshot + sampled + searched) / PLAIN
    attacked = objective.preparation(**options).units > 0
    more = gradients * timing.gradient + extra.prepared_pass * timing.prepare * attacked
    steps = steps_per_epoch(cell, timing.train_images) * timing.replays * epochs
    evaluated = _evaluated(cell, timing) * timing.forward
    settings = cell.evaluation
    validation = held_out(timing.train_images, cell.training.validation)
    evaluated += epochs * settings.validation_steps * validation * timing.attack * attacked
    images = min(settings.images or timing.test_images, timing.test_images)
    attacks = WEIGHTS * settings.restarts * settings.steps * images * timing.attack
    train = steps * (timing.step + more)
    certain = steps * timing.step + evaluated + timing.setup + attacks
    low = timing.step_low / timing.step * (1 - MODEL)
    high = timing.step_high / timing.step * (1 + MODEL)
    return Cost(
        train=train,
        evaluation=evaluated,
        setup=timing.setup,
        attacks=attacks,
        low=low * (certain + steps * more * (1 - UNITS)),
        high=high * (certain + steps * more * (1 + UNITS)),
        memory=timing.memory + extra.tensors * timing.state,
        disk=disk(cell, timing),
        load=timing.load,
        source=source,
    )


def _evaluated(cell: Cell, timing: Timing) -> float:
    """Images of all evaluations."""
    epochs = cell.training.epochs
    validation = held_out(timing.train_images, cell.training.validation)
    tested = epochs if cell.evaluation.test == "every-epoch" else WEIGHTS
    return epochs * validation + tested * timing.test_images


def disk(cell: Cell, timing: Timing) -> float:
    """Bytes of a cell's files: active weights, masks of a bit a weight, tables, records."""
    rest = timing.state - timing.prunable
    weights = timing.prunable * (1 - cell.sparsity + 1 / BITS)
    tables = cell.training.epochs * (ROW + LAYER * timing.layers)
    texts = TEXTS + RECORD * timing.layers + IMAGE * timing.test_images
    return WEIGHTS * (HEADER + rest + weights) + tables + texts
