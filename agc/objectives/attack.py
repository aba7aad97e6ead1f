"""The attack of the training loop: PGD with its own generator, no host synchronisation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module


@contextmanager
def attacked(model: Module) -> Iterator[None]:
    """Freeze parameters, and evaluate batch norm and dropout, while examples are crafted.

    Frozen parameters spare the weight gradients that an attack has no use for; evaluation mode
    keeps the running statistics clean. Every flag is put back as it was, module by module.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    modes = [(module, module.training) for module in model.modules()]
    for parameter in parameters:
        parameter.requires_grad_(False)
    model.eval()
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
        for module, training in modes:
            module.training = training


def pgd(
    model: Module,
    images: Tensor,
    loss_fn: Callable[[Tensor], Tensor],
    *,
    epsilon: float,
    step_size: float,
    steps: int,
    generator: Generator,
) -> Tensor:
    """Projected gradient ascent in the L∞ ball (Madry et al., arXiv 1706.06083).

    Args:
        model: takes images in [0, 1]; its parameters and modes come back as they were.
        images: [N, C, H, W] in [0, 1].
        loss_fn: logits -> loss that the attack raises; summed over images.
        epsilon: radius of the ball, in pixel units.
        step_size: length of each step, in pixel units.
        steps: number of steps.
        generator: draws the random start, on the images' device.

    Returns:
        Images in [0, 1] within ``epsilon`` of the given ones, without a graph.
    """
    lower, upper = (images - epsilon).clamp_(min=0), (images + epsilon).clamp_(max=1)
    noise = torch.rand(images.shape, generator=generator, dtype=images.dtype, device=images.device)
    adversarial = torch.clamp(images + epsilon * (2 * noise - 1), 0, 1)
    with attacked(model), torch.enable_grad():
        for _ in range(steps):
            adversarial.requires_grad_(True)
            (gradient,) = torch.autograd.grad(loss_fn(model(adversarial)), adversarial)
            adversarial = adversarial.detach() + step_size * gradient.sign()
            adversarial = torch.minimum(torch.maximum(adversarial, lower), upper)
    return adversarial.detach()
