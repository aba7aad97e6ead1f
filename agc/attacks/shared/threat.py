"""Threat models: how far an attack may go from an image, and how it starts, steps and returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from agc.lazy import torch
from agc.processes.share import Share

if TYPE_CHECKING:
    from torch import Generator, Tensor

Norm = Literal["linf", "l2"]
Start = Literal["uniform", "normal", "none"]

NEAR = 1e-3
"""Standard deviation of the start close to the image, as TRADES and MART have it."""

TINY = 1e-10
"""Keeps a vanishing gradient's direction finite."""


class Ball:
    """Images in [0, 1] within ``epsilon`` of the given ones; base of the norms.

    Args:
        images: [N, C, H, W] in [0, 1]; the centres.
        epsilon: radius, for pixels in [0, 1].
    """

    def __init__(self, images: Tensor, epsilon: float) -> None:
        self.images = images
        self.epsilon = epsilon

    def start(self, kind: Start, generator: Generator) -> Tensor:
        """Where an attack begins: anywhere in the ball, close to the image, or at it."""
        if kind == "none":
            return self.images
        if kind == "uniform":
            return self.anywhere(generator)
        return self.project(self.images + NEAR * self.drawn(torch.randn, generator))

    def anywhere(self, generator: Generator) -> Tensor:
        """A random point of the ball."""
        raise NotImplementedError

    def drawn(
        self, draw: Callable[..., Tensor], generator: Generator, shape: tuple[int, ...] = ()
    ) -> Tensor:
        """Random numbers for each image, of its shape or of ``shape``.

        A generator that has a share draws for the images of all processes, and these get theirs.
        """
        count, *rest = self.images.shape
        share = getattr(generator, "share", Share())
        shape = (share.count * count, *(shape or rest))
        kind = {"dtype": self.images.dtype, "device": self.images.device}
        return share.of(draw(shape, generator=generator, **kind))

    @staticmethod
    def direction(gradient: Tensor) -> Tensor:
        """Steepest ascent of length 1 in this norm, image by image."""
        raise NotImplementedError

    @staticmethod
    def shortened(change: Tensor, epsilon: float) -> Tensor:
        """The nearest change of at most the length ``epsilon``, image by image."""
        raise NotImplementedError

    def project(self, points: Tensor) -> Tensor:
        """The nearest points of the ball in [0, 1]."""
        raise NotImplementedError

    def distance(self, points: Tensor) -> Tensor:
        """How far each of ``points`` is from its image, [N]."""
        raise NotImplementedError


class LinfBall(Ball):
    """No pixel changes by more than ``epsilon``."""

    def __init__(self, images: Tensor, epsilon: float) -> None:
        super().__init__(images, epsilon)
        self.lower = (images - epsilon).clamp_(min=0)
        self.upper = (images + epsilon).clamp_(max=1)

    def anywhere(self, generator: Generator) -> Tensor:
        """Each pixel uniformly within ``epsilon``, then cut to [0, 1]."""
        noise = self.drawn(torch.rand, generator)
        return torch.clamp(self.images + self.epsilon * (2 * noise - 1), 0, 1)

    @staticmethod
    def direction(gradient: Tensor) -> Tensor:
        """The sign of each pixel's gradient."""
        return gradient.sign()

    @staticmethod
    def shortened(change: Tensor, epsilon: float) -> Tensor:
        """Each pixel's change cut to ``epsilon``."""
        return change.clamp(-epsilon, epsilon)

    def project(self, points: Tensor) -> Tensor:
        """Each pixel cut to its interval."""
        return torch.minimum(torch.maximum(points, self.lower), self.upper)

    def distance(self, points: Tensor) -> Tensor:
        """The largest change of a pixel."""
        return (points - self.images).flatten(1).abs().amax(dim=1)


class L2Ball(Ball):
    """The change of all pixels of an image together has at most the length ``epsilon``."""

    def anywhere(self, generator: Generator) -> Tensor:
        """A random direction, and a uniform share of the radius."""
        noise = self.drawn(torch.randn, generator)
        part = self.drawn(torch.rand, generator, (1, 1, 1))
        change = noise * (part * self.epsilon / (_length(noise) + TINY))
        return torch.clamp(self.images + change, 0, 1)

    @staticmethod
    def direction(gradient: Tensor) -> Tensor:
        """The gradient, each image's of length 1."""
        return gradient / (_length(gradient) + TINY)

    @staticmethod
    def shortened(change: Tensor, epsilon: float) -> Tensor:
        """The same direction, and a length of at most ``epsilon``."""
        return change * (epsilon / (_length(change) + TINY)).clamp(max=1)

    def project(self, points: Tensor) -> Tensor:
        """Changes shortened to the radius, then cut to [0, 1], which only shortens them."""
        change = self.shortened(points - self.images, self.epsilon)
        return torch.clamp(self.images + change, 0, 1)

    def distance(self, points: Tensor) -> Tensor:
        """Euclidean length of the change."""
        return _length(points - self.images).flatten()


BALLS: dict[Norm, type[Ball]] = {"linf": LinfBall, "l2": L2Ball}


def _length(tensor: Tensor) -> Tensor:
    """Euclidean length of each image, [N, 1, 1, 1]; for any memory format."""
    return torch.linalg.vector_norm(tensor, dim=(1, 2, 3), keepdim=True)
