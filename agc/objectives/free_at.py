"""Free adversarial training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from agc.attacks.shared.threat import BALLS
from agc.lazy import torch
from agc.objectives.base import Objective
from agc.objectives.shared.options import Epsilon, Norms, Smoothing, Steps
from agc.registry import OBJECTIVES

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module

    from agc.datasets.shared.loader import Batch, Loader


class ReplayedLoader:
    """A loader whose training epochs give every batch ``replays`` times, one after another.

    An epoch has as many steps as before, so it sees the first 1/``replays`` of its batches; other
    passes over the data (for a correction's snapshot) see all of them, once.
    """

    def __init__(self, loader: Loader, replays: int) -> None:
        self.loader = loader
        self.replays = replays
        self.current: Batch | None = None
        """The batch that is being replayed; None outside training epochs."""

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> Any:
        """All else is the loader's."""
        return getattr(self.loader, name)

    def epoch(self, epoch: int, purpose: str = "train", augmented: bool = True) -> Iterator[Batch]:
        """Batches of one epoch, as the loader has them, each several times if it is training."""
        batches = self.loader.epoch(epoch, purpose, augmented)
        if purpose != "train":
            self.current = None
            yield from batches
            return
        steps = len(self)
        for number, batch in enumerate(islice(batches, math.ceil(steps / self.replays))):
            for _ in range(min(self.replays, steps - number * self.replays)):
                self.current = batch
                yield batch
        self.current = None


@OBJECTIVES.register("free-at", source="arXiv 1904.12843")
class FreeAdversarialTraining(Objective):
    """Cross-entropy on replayed batches whose perturbation grows by the gradient of each step.

    Each batch is trained on ``replays`` times. The backward pass that gives a step's weight
    gradient gives the input's too, which moves the perturbation by the whole radius for the next
    step; a new batch starts from the perturbation of the last one (Shafahi et al., algorithm 1).
    So an attack costs no pass of its own. An epoch has as many steps as in other objectives,
    and sees one in ``replays`` of the images: at equal epochs it costs what standard training
    costs, as in the paper, which divides the epochs by the replays.

    The perturbation is the objective's state, by place in the batch. Only the gradients of
    training steps move it; a correction's passes see their own batches under the perturbation of
    the moment.

    Args:
        epsilon: radius, for pixels in [0, 1], and length of each step.
        replays: steps on each batch.
        norm: ``linf`` or ``l2``.
        label_smoothing: see :class:`Objective`.
        precision: of the cell's training.
    """

    adversarial: ClassVar[bool] = True
    pure: ClassVar[bool] = False
    state = ("perturbation",)

    def __init__(
        self,
        *,
        epsilon: Epsilon = 8 / 255,
        replays: Steps = 8,
        norm: Norms = "linf",
        label_smoothing: Smoothing = 0.0,
        precision: str = "float32",
    ) -> None:
        super().__init__(precision=precision, label_smoothing=label_smoothing)
        self.epsilon = epsilon
        self.replays = replays
        self.norm = norm
        self.perturbation: Tensor | None = None
        self.batches: ReplayedLoader | None = None
        self.trained: Tensor | None = None
        """The images of the step that is being made."""

    def loader(self, loader: Loader) -> ReplayedLoader:
        """Replay the training batches."""
        self.batches = ReplayedLoader(loader, self.replays)
        return self.batches

    def prepare(self, model: Module, batch: Batch, generator: Generator) -> Batch:
        """Put the present perturbation on the images; the clean ones stay in ``batch.clean``."""
        if self.perturbation is None:
            self.perturbation = torch.zeros_like(batch.images)
        self.perturbation = self.perturbation.to(batch.images.device)  # a checkpoint's is not there
        ball = BALLS[self.norm](batch.images, self.epsilon)
        images = ball.project(batch.images + self.perturbation)
        training = self.batches is None or self.batches.current is batch
        self.trained = images if training else None
        return batch._replace(images=images, clean=batch.images)

    def loss(self, model: Module, batch: Batch) -> Tensor:
        """Mean cross-entropy; the backward pass of a training step moves the perturbation."""
        if batch.images is not self.trained or not torch.is_grad_enabled():
            return super().loss(model, batch)
        # A leaf of this pass' own: a gradient that is asked of the weights alone never gets here.
        images = batch.images.detach().requires_grad_(True)
        images.register_hook(self._move)
        return super().loss(model, batch._replace(images=images))

    def _move(self, gradient: Tensor) -> None:
        ball = BALLS[self.norm]
        with torch.no_grad():
            moved = self.perturbation + self.epsilon * ball.direction(gradient)
            self.perturbation = ball.shortened(moved, self.epsilon)
