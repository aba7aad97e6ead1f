"""Gradients and losses of a batch beside the training step, which leave the model as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agc.gradients.loss_scale import LossScale, gradient_of
from agc.gradients.micro_batches import parts
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

LossFunction = Callable[["Module", Any], "Tensor"]
"""``(model, batch) -> mean loss of the batch``, differentiable."""


def loss_and_gradient(
    module: Module,
    parameters: dict[str, Any],
    batch: Any,
    loss_fn: LossFunction,
    scale: LossScale | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of a batch, detached, and its gradient by parameter name; ``.grad`` is left.

    Of micro-batches it is the mean, with one graph at a time.
    """
    gradient = gradient_of if scale is None else scale.gradient
    batches = parts(batch)
    losses: list[Tensor] = []
    total: dict[str, Tensor] = {}
    for part in batches:
        loss = loss_fn(module, part)
        losses.append(loss.detach())
        found = gradient(loss, parameters)
        total = {n: total[n] + g for n, g in found.items()} if total else found
    if len(batches) == 1:
        return losses[0], total
    return torch.stack(losses).mean(), {n: g / len(batches) for n, g in total.items()}


@contextmanager
def preserved_buffers(model: Module) -> Iterator[None]:
    """Pass batches through ``model``, and leave its buffers (running statistics) as they were."""
    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(kept[name])
