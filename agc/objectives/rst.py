"""Robust self-training."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc import rng
from agc.datasets.base import SPLIT_SEED, Images
from agc.lazy import torch
from agc.objectives.trades import Trades
from agc.registry import OBJECTIVES

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

BATCH = 1024
"""Images per forward pass of the labelling."""


@OBJECTIVES.register("rst", source="arXiv 1905.13736")
class RobustSelfTraining(Trades):
    """TRADES on images of which a part has pseudo-labels of a plainly trained network.

    Robust self-training (Carmon et al.) takes extra images that nobody has labelled. Where there
    are none, a part of the training images is treated as such: their labels are never looked at.
    The cell's network, dense and without correction, is trained in the standard way on the rest,
    with the cell's own recipe, and labels them. Batches mix both parts at random.

    Labels depend on data set, architecture, recipe and seed, not on method or correction. What
    the labelling costs comes once before the training, and is not part of its units.

    Args:
        unlabelled: fraction of the training images with pseudo-labels.
    """

    def __init__(
        self, *, unlabelled: Annotated[float, Field(gt=0, lt=1)] = 0.5, **options: Any
    ) -> None:
        super().__init__(**options)
        self.unlabelled = unlabelled

    def training_split(self, train: Images, teach: Callable[[Images], Module]) -> Images:
        """Replace the labels of a part of ``train``, the same images for every cell."""
        generator = rng.generator(SPLIT_SEED, "unlabelled split")
        order = torch.randperm(len(train), generator=generator)
        count = round(self.unlabelled * len(train))
        hidden, shown = order[:count].sort().values, order[count:].sort().values
        labels = train.labels.clone()
        labels[hidden] = predictions(teach(train[shown]), train[hidden])
        return train.relabelled(labels)


def predictions(model: Module, split: Images) -> Tensor:
    """Classes that ``model`` sees in images in evaluation mode, int64 [N], on the CPU."""
    model.eval()
    device = next(model.parameters()).device
    with torch.no_grad():
        parts = (part.to(device).float().div_(255) for part, _ in split.in_order(BATCH))
        return torch.cat([model(part).argmax(dim=1) for part in parts]).cpu()
