"""JIIO as an attack on equilibrium networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from agc.attacks.shared.jiio import solve_jointly
from agc.attacks.shared.pgd import attacked
from agc.attacks.shared.threat import BALLS, Norm
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

LATER_STEP = 1 / 3
"""The second phase's step of the official code, beside the first one's: 0.2 and 0.6."""

CONVERGED = 1e-2
"""Relative change in an iteration below which an attack counts as converged."""


class Crafted(NamedTuple):
    """Adversarial images, and how well the three equations of each hold.

    Attributes:
        images: [N, C, H, W] in [0, 1]; the given ones where no iteration was finite.
        residuals: as of :class:`agc.attacks.shared.jiio.Solution`, [N].
    """

    images: Tensor
    residuals: Tensor

    @property
    def converged(self) -> Tensor:
        """Which attacks stand still, bool [N]."""
        return self.residuals < CONVERGED

    @property
    def failed(self) -> Tensor:
        """Which attacks found nothing finite, bool [N]."""
        return ~self.residuals.isfinite()


def attack_jointly(
    model: Module,
    images: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    step_size: float,
    iterations: int,
    norm: Norm = "l2",
    history: int = 1,
) -> Crafted:
    """Raise the cross-entropy in a ball around each image, from the image itself, without a draw.

    Each iteration is one call of ``model`` with a state, hence one of its cell.

    Args:
        model: an equilibrium network, or a classifier around one, for images in [0, 1]; its
            parameters and modes come back as they were.
        images: [N, C, H, W] in [0, 1].
        labels: int64 [N].
        epsilon: radius of the ball.
        step_size: length of a step in the first phase, in the same norm; a third in the second.
        iterations: of :func:`agc.attacks.shared.jiio.solve_jointly`.
        norm: of the ball. The official code has L2 alone; the sign of the gradient as the direction
            in L-infinity is ours.
        history: of Anderson's acceleration; 1: none.

    Raises:
        ValueError: the model has no equilibrium network.
    """
    from agc.architectures.shared.equilibrium import equilibrium_of

    network = equilibrium_of(model)
    if network is None:
        raise ValueError(f"JIIO attacks equilibrium networks, and {type(model).__name__} has none")
    ball = BALLS[norm](images, epsilon)

    def equation(points: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        following, logits = model(points, state)
        return following, -torch.nn.functional.cross_entropy(logits, labels, reduction="none")

    with attacked(model):
        found = solve_jointly(
            equation,
            images,
            network.rest(images),
            step_sizes=(step_size, LATER_STEP * step_size),
            iterations=iterations,
            direction=ball.direction,
            project=ball.project,
            history=history,
        )
    return Crafted(found.x, found.residuals)
