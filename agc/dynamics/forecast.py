"""The course of a cell's training loss, predicted from its network at its first weights."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from agc import rng
from agc.dynamics.domain import refusal, remarks
from agc.dynamics.features import active_weights, linearise, mixes_images, project
from agc.dynamics.kept import Forecast, Settings
from agc.dynamics.linear import Descent, LinearModel, course, cross_entropy
from agc.grids.cell import Cell
from agc.training.build import build
from agc.training.loop import DataPass
from agc.training.loss import draws_noise
from agc.training.run import Run

DIVERGED = 10.0
"""A linear training whose loss is so many times its first one has left all sense."""


class Forecaster:
    """Predicts cells; those that differ in how they are trained share the network's derivatives.

    Args:
        settings: how.
    """

    def __init__(self, settings: Settings = Settings()) -> None:
        self.settings = settings
        self._of = ""
        self._kept: Linearised | None = None

    def predict(self, cell: Cell, start: Mapping[str, Tensor] | None) -> Forecast:
        """Predict the course of a cell's training loss, on the CPU.

        Args:
            cell: any; where nothing can be said of it the forecast tells why.
            start: the weights that it starts from.
        """
        reason = refusal(cell)
        if reason is not None:
            return self._refused(cell, reason)
        begin = time.process_time()
        run = build(cell, start=start)
        if draws_noise(run.model, next(iter(run.loader.epoch(1))).images[:2]):
            return self._refused(cell, "its network draws random numbers, such as dropout's")
        known = self._linearised(cell, run)
        losses = self._course(run, known)
        spent = time.process_time() - begin
        first = losses[0].mean().item()
        if not torch.isfinite(losses).all() or losses.max() > DIVERGED * first:
            rate = cell.training.optimizer.lr
            return self._refused(cell, f"the linear net diverges at a learning rate of {rate:g}")
        epochs = losses.reshape(cell.training.epochs, -1, losses.shape[1]).mean(dim=1)
        return Forecast(
            slug=cell.slug,
            initial=first,
            losses=epochs.mean(dim=1).tolist(),
            low=epochs.amin(dim=1).tolist(),
            high=epochs.amax(dim=1).tolist(),
            steps_per_epoch=len(run.loader),
            seconds=spent,
            remarks=remarks(cell),
            settings=self.settings,
        )

    def _refused(self, cell: Cell, reason: str) -> Forecast:
        return Forecast(cell.slug, refused=reason, settings=self.settings)

    def _linearised(self, cell: Cell, run: Run) -> Linearised:
        key = network_of(cell)
        if self._kept is None or key != self._of:
            run.step.begin(DataPass(run, 0))
            images, labels = _first_images(run, self.settings.images)
            generator = rng.generator(cell.seed, "dynamics/projection")
            active = active_weights(run.model, run.method.masks)
            projection = project(active, self.settings.size, generator)
            group = run.loader.batch_size if mixes_images(run.model) else 1
            model = linearise(run.model, images, projection, group)
            self._of, self._kept = key, Linearised(model, labels)
        return self._kept

    def _course(self, run: Run, known: Linearised) -> Tensor:
        """Losses before each step, [steps, paths]."""
        cell, chosen = run.cell, run.cell.training.optimizer
        descent = Descent(
            momentum=chosen.momentum,
            nesterov=chosen.nesterov and chosen.momentum > 0,
            weight_decay=chosen.weight_decay,
            batch=run.loader.batch_size,
            total=len(run.loader.split),
        )
        smoothing = cell.objective.options.get("label_smoothing", 0.0)
        noise = rng.generator(cell.seed, "dynamics/noise")
        loss = cross_entropy(known.labels, smoothing)
        return course(known.model, loss, _rates(run), descent, noise, self.settings.paths)


@dataclass(frozen=True)
class Linearised:
    """A network near its first weights, and the labels of its images, [N]."""

    model: LinearModel
    labels: Tensor


def network_of(cell: Cell) -> str:
    """What two cells must share to begin with the same network, masks and images."""
    data = cell.model_dump(mode="json")
    training = data.pop("training")
    for name in ("correction", "evaluation"):
        data.pop(name)
    kept = ("batch_size", "validation", "split", "images", "augmentation", "fixed_batches", "start")
    data |= {name: training.get(name) for name in kept}
    return json.dumps(data, sort_keys=True)


def _first_images(run: Run, count: int) -> tuple[Tensor, Tensor]:
    """Images and labels of the first batches of the training, whole batches of them."""
    images: list[Tensor] = []
    labels: list[Tensor] = []
    for batch in run.loader.epoch(1):
        images.append(batch.images)
        labels.append(batch.labels)
        if sum(map(len, labels)) >= count:
            break
    return torch.cat(images), torch.cat(labels)


def _rates(run: Run) -> Iterator[float]:
    """The learning rate of each step."""
    run.optimizer.step()  # without gradients nothing moves; the schedule asks for the order
    for _ in range(run.cell.training.epochs):
        rate = run.optimizer.param_groups[0]["lr"]
        yield from [rate] * len(run.loader)
        run.schedule.step()
