"""The attack of the training loop: PGD with its own generator, no host synchronisation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from agc.attacks.shared.threat import BALLS, Ball, Norm, Start
from agc.gradients.autocast import autocast
from agc.gradients.modes import evaluating
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module

BatchNorm = Literal["eval", "train"]

Ascent = Callable[..., "Tensor"]
"""What computes :func:`ascended`, and takes its arguments."""


@contextmanager
def attacked(model: Module, batch_norm: BatchNorm = "eval") -> Iterator[None]:
    """Freeze parameters, and evaluate batch norm and dropout, while examples are crafted.

    Frozen parameters spare the weight gradients that an attack has no use for. Every flag is put
    back as it was, module by module.

    Args:
        model: whose flags change meanwhile.
        batch_norm: ``eval`` uses the running statistics; ``train`` those of the batch, in the
            layers that are in training mode. Running statistics stay as they are in both.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    norms = _batch_norms(model) if batch_norm == "train" else []
    with evaluating(model):
        for parameter in parameters:
            parameter.requires_grad_(False)
        for module, _ in norms:
            module.training, module.track_running_stats = True, False
        try:
            yield
        finally:
            for parameter in parameters:
                parameter.requires_grad_(True)
            for module, tracked in norms:
                module.track_running_stats = tracked


def _batch_norms(model: Module) -> list[tuple[Module, bool]]:
    """Batch norms in training mode, and whether they keep running statistics."""
    kind = torch.nn.modules.batchnorm._BatchNorm
    modules = [m for m in model.modules() if isinstance(m, kind) and m.training]
    return [(module, module.track_running_stats) for module in modules]


def ascended(
    model: Module,
    ball: Ball,
    start: Tensor,
    loss_fn: Callable[[Tensor], Tensor],
    step_size: float,
    steps: int,
    batch_norm: BatchNorm = "eval",
    precision: str = "float32",
) -> Tensor:
    """The attack from a given start, which draws nothing: a pure function of its tensors.

    Args:
        model: see :func:`pgd`, as for the others.
        ball: around the images.
        start: where it begins, in the ball.
        loss_fn: of the logits.
        step_size: of each step.
        steps: number of them.
        batch_norm: see :func:`attacked`.
        precision: of the network's passes.
    """
    adversarial = start.detach()
    with attacked(model, batch_norm), torch.enable_grad(), autocast(start, precision):
        for _ in range(steps):
            adversarial.requires_grad_(True)
            (gradient,) = torch.autograd.grad(loss_fn(model(adversarial)), adversarial)
            adversarial = ball.project(adversarial.detach() + step_size * ball.direction(gradient))
    return adversarial.detach()


def pgd(
    model: Module,
    images: Tensor,
    loss_fn: Callable[[Tensor], Tensor],
    *,
    epsilon: float,
    step_size: float,
    steps: int,
    generator: Generator,
    norm: Norm = "linf",
    start: Start = "uniform",
    batch_norm: BatchNorm = "eval",
    precision: str = "float32",
    ascend: Ascent = ascended,
) -> Tensor:
    """Projected gradient ascent in a ball around each image (Madry et al., arXiv 1706.06083).

    Args:
        model: takes images in [0, 1]; its parameters and modes come back as they were.
        images: [N, C, H, W] in [0, 1].
        loss_fn: logits -> loss that the attack raises; summed over images.
        epsilon: radius of the ball, for pixels in [0, 1].
        step_size: length of each step, in the same norm.
        steps: number of steps.
        generator: draws the random start, on the images' device.
        norm: of the ball.
        start: anywhere in the ball, close to the image, or at the image.
        batch_norm: see :func:`attacked`.
        precision: ``bfloat16`` runs the network under autocast; the images stay as they are.
        ascend: what makes the steps: :func:`ascended`, or another way to compute it.

    Returns:
        Images in [0, 1] within ``epsilon`` of the given ones, without a graph.
    """
    ball = BALLS[norm](images, epsilon)
    begin = ball.start(start, generator).detach()
    way = (step_size, steps, batch_norm, precision)
    return ascend(model, ball, begin, loss_fn, *way)
