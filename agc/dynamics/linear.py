"""A network that is linear in its weights, and SGD on it.

With outputs f + F (θ - θ₀) the gradient of a loss is Fᵀ of its derivatives by the outputs, so that
nothing of the network is asked any more. Predicting training time so is the idea of Zancato et al.
(NeurIPS 2020, arXiv 2008.12478), of which the abstract and the first page were at hand: what is
here is a reconstruction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

Derivatives = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Outputs [N, C, paths] to the mean loss of each path, [paths], and each image's own derivatives of
its loss by its outputs, [N, C, paths]."""


@dataclass(frozen=True)
class LinearModel:
    """What a network is near its first weights.

    Attributes:
        outputs: of N images at these weights, [N, C].
        features: derivatives of the outputs by the R weights, [N, C, R].
        weights: these weights, [R].
    """

    outputs: Tensor
    features: Tensor
    weights: Tensor

    def kernel(self) -> Tensor:
        """The tangent kernel F Fᵀ, [N C, N C]."""
        rows = self.features.flatten(0, 1)
        return rows @ rows.T

    def at(self, moved: Tensor) -> Tensor:
        """Outputs [N, C, paths] where the weights have moved by [R, paths]."""
        count, classes, _ = self.features.shape
        change = self.features.flatten(0, 1) @ moved
        return self.outputs[:, :, None] + change.reshape(count, classes, -1)

    def gradient(self, derivatives: Tensor) -> Tensor:
        """What the mean of derivatives [N, C, paths] is by the weights, [R, paths]."""
        return self.features.flatten(0, 1).T @ derivatives.flatten(0, 1) / len(derivatives)


@dataclass(frozen=True)
class Descent:
    """SGD as torch has it.

    Attributes:
        momentum: of the running sum of gradients.
        nesterov: whether a step looks ahead.
        weight_decay: added to the gradient, times the weights.
        batch: images of a step's gradient; None: all, without noise.
        total: images that batches are drawn from.
    """

    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    batch: int | None = None
    total: int | None = None

    @property
    def noise(self) -> float:
        """Variance of a step's gradient, relative to that of one image's: batches are drawn without
        replacement.
        """
        if self.batch is None:
            return 0.0
        return 1 / self.batch - (1 / self.total if self.total else 0.0)


def course(
    model: LinearModel,
    derivatives: Derivatives,
    rates: Iterable[float],
    descent: Descent,
    generator: Generator | None = None,
    paths: int = 1,
) -> Tensor:
    """Mean losses before each step of SGD on a linear model, [steps, paths].

    The noise of batches is Gaussian, with the covariance that the gradients of the images have at
    the moment: the Euler-Maruyama steps, of length one, of a stochastic differential equation.

    Args:
        model: of some images, which stand for all.
        derivatives: of the loss.
        rates: learning rate of each step.
        descent: the optimizer.
        generator: of the noise.
        paths: how many courses are drawn, with noises of their own.
    """
    moved = torch.zeros(len(model.weights), paths, dtype=model.weights.dtype)
    speed = torch.zeros_like(moved)
    losses = []
    for rate in rates:
        loss, own = derivatives(model.at(moved))
        losses.append(loss)
        if descent.noise:
            draws = torch.randn(len(own), 1, paths, generator=generator, dtype=own.dtype)
            # One product for both: the network's derivatives are read once.
            both = model.gradient(torch.cat([own, own * draws], dim=2))
            gradient, spread = both.split(paths, dim=1)
            # Σ ξᵢ (gᵢ - g) / √N has the covariance of one image's gradient.
            spread = spread - gradient * draws.mean(dim=0)
            gradient = gradient + (descent.noise * len(own)) ** 0.5 * spread
        else:
            gradient = model.gradient(own)
        gradient = gradient + descent.weight_decay * (model.weights[:, None] + moved)
        speed = descent.momentum * speed + gradient
        ahead = gradient + descent.momentum * speed if descent.nesterov else speed
        moved = moved - rate * ahead
    return torch.stack(losses)


def cross_entropy(labels: Tensor, smoothing: float = 0.0) -> Derivatives:
    """The mean cross-entropy of labels [N], spread evenly over all classes by a share."""

    def derivatives(outputs: Tensor) -> tuple[Tensor, Tensor]:
        wanted = torch.nn.functional.one_hot(labels, outputs.shape[1]).to(outputs.dtype)
        wanted = (wanted * (1 - smoothing) + smoothing / outputs.shape[1])[:, :, None]
        logs = outputs.log_softmax(dim=1)
        loss = -(wanted * logs).sum(dim=1).mean(dim=0)
        return loss, logs.exp() - wanted

    return derivatives


def squared_error(targets: Tensor) -> Derivatives:
    """Half the mean squared distance to targets [N, C], with which everything is linear."""

    def derivatives(outputs: Tensor) -> tuple[Tensor, Tensor]:
        gap = outputs - targets[:, :, None]
        return gap.square().sum(dim=1).mean(dim=0) / 2, gap

    return derivatives
