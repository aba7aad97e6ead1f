"""What an objective is: how a batch is prepared, and the loss of a prepared batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from agc.cost.units import Passes
from agc.lazy import torch
from agc.objectives.shared.options import Smoothing
from agc.state import Stateful

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module

    from agc.datasets.base import Images
    from agc.datasets.shared.loader import Batch, Loader


class Objective(Stateful):
    """Cross-entropy on the batch as it is; base of all others.

    ``prepare`` crafts what must be crafted, once; ``loss`` is the differentiable part. A gradient
    correction replays ``loss`` at its snapshot with the very batch that was prepared.

    Args:
        precision: of the cell's training; the suite gives it.
        label_smoothing: share of each label that is spread evenly over all classes, in the
            cross-entropy that is minimised; attacks are made against the labels themselves.
    """

    adversarial: ClassVar[bool] = False
    """Whether it trains for robustness."""

    pure: ClassVar[bool] = True
    """Whether ``loss`` is a function of the tensors of model and batch, and leaves no trace but the
    running statistics of batch norms."""

    def __init__(self, *, precision: str = "float32", label_smoothing: Smoothing = 0.0) -> None:
        self.precision = precision
        self.label_smoothing = label_smoothing

    def prepare(self, model: Module, batch: Batch, generator: Generator) -> Batch:
        """The batch that the loss sees; draws from ``generator`` alone."""
        return batch

    def loss(self, model: Module, batch: Batch) -> Tensor:
        """Mean loss of a prepared batch, a scalar with a graph."""
        return self.cross_entropy(model(batch.images), batch.labels)

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy with the smoothed labels."""
        return torch.nn.functional.cross_entropy(
            logits, labels, label_smoothing=self.label_smoothing
        )

    def training_split(self, train: Images, teach: Callable[[Images], Module]) -> Images:
        """The training images and labels as this objective takes them.

        Args:
            train: the training split, without the validation images, on the CPU.
            teach: trains the cell's network, dense and plainly, on the images that it is given.
        """
        return train

    def loader(self, loader: Loader) -> Loader:
        """The batches as this objective takes them."""
        return loader

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """Why this objective makes no sense in ``cell``, or None; asked before anything runs."""
        return None

    def diagnostics(self) -> dict[str, Tensor]:
        """Scalars on how attacks have gone since this was asked last, for ``epochs.csv``."""
        return {}

    @classmethod
    def preparation(cls, **options: Any) -> Passes:
        """Declared cost of ``prepare`` per batch.

        Args:
            options: all of the objective, and ``cell_calls``: those that a forward pass of the
                network makes if it is an equilibrium network, else None.
        """
        return Passes()

    @classmethod
    def evaluation(cls, **options: Any) -> Passes:
        """Declared cost of ``loss`` and its backward pass per batch."""
        return Passes(forward=1, backward=1)
