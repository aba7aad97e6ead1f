"""The checks of objectives find what they are for: each broken one fails the check it should."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from agc.conformance.objectives import CHECKS, IN_CELLS
from agc.cost.units import Passes
from agc.objectives.base import Objective
from agc.registry import OBJECTIVES
from tests.support.conformance import registered


class Draws(Objective):
    """Adds noise from the global stream."""

    def prepare(self, model: Any, batch: Any, generator: Any) -> Any:
        noisy = (batch.images + 0.01 * torch.rand(batch.images.shape)).clamp(0, 1)
        return batch._replace(images=noisy, clean=batch.images)


class Bright(Objective):
    """Leaves [0, 1]."""

    def prepare(self, model: Any, batch: Any, generator: Any) -> Any:
        return batch._replace(images=batch.images + 1, clean=batch.images)


class Loses(Objective):
    """Forgets the clean images."""

    def prepare(self, model: Any, batch: Any, generator: Any) -> Any:
        return batch._replace(images=1 - batch.images, clean=1 - batch.images)


class Evaluates(Objective):
    """Leaves the network in evaluation mode."""

    def prepare(self, model: Any, batch: Any, generator: Any) -> Any:
        model.eval()
        return batch


class Sum(Objective):
    """One loss for each image."""

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(logits, labels, reduction="none")


class Detached(Objective):
    """Sees the images of a network without its convolution's gradient."""

    def loss(self, model: Any, batch: Any) -> Tensor:
        features = model[:4](batch.images).detach()
        return self.cross_entropy(model[4](features), batch.labels)


class Counts(Objective):
    """Grows with each look at a batch."""

    looks = 0

    def loss(self, model: Any, batch: Any) -> Tensor:
        self.looks += 1
        return self.looks * super().loss(model, batch)


class Cheap(Objective):
    """Hides a pass."""

    def loss(self, model: Any, batch: Any) -> Tensor:
        model(batch.images)
        return super().loss(model, batch)


class Miscounts(Objective):
    """Declares a preparation that it does not make."""

    @classmethod
    def preparation(cls, **options: Any) -> Passes:
        return Passes(forward=1)


class Explodes(Objective):
    """Has an infinite loss."""

    def loss(self, model: Any, batch: Any) -> Tensor:
        return super().loss(model, batch) / 0


BROKEN = [
    (Draws, "a_prepared_batch_follows_from_model_batch_and_generator"),
    (Draws, "preparing_leaves_the_model_the_batch_and_the_global_stream"),
    (Bright, "prepared_images_are_images_without_a_graph"),
    (Loses, "prepared_images_are_images_without_a_graph"),
    (Evaluates, "preparing_leaves_the_model_the_batch_and_the_global_stream"),
    (Sum, "the_loss_is_a_finite_number_that_reaches_every_weight"),
    (Detached, "the_loss_is_a_finite_number_that_reaches_every_weight"),
    (Explodes, "the_loss_is_a_finite_number_that_reaches_every_weight"),
    (Counts, "the_loss_can_be_replayed_at_other_weights"),
    (Cheap, "passes_are_the_declared_ones"),
    (Miscounts, "passes_are_the_declared_ones"),
    (Explodes, "trains_in_a_cell"),
]


@pytest.mark.parametrize(("broken", "check"), BROKEN, ids=lambda x: getattr(x, "__name__", x))
def test_a_broken_objective_fails_its_check(broken: type[Objective], check: str) -> None:
    errors = (AssertionError, FloatingPointError)
    with registered(OBJECTIVES, broken) as name, pytest.raises(errors):
        {**CHECKS, **IN_CELLS}[check](name)
