"""Gradients and losses of a batch beside the training step, which leave the model as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from agc.gradients.beside import beside
from agc.gradients.bindings import Bindings
from agc.gradients.lists import clones, copy_to
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
        with beside():
            loss = loss_fn(module, part)
            found = gradient(loss, parameters)
        losses.append(loss.detach())
        total = {n: total[n] + g for n, g in found.items()} if total else found
    if len(batches) == 1:
        return losses[0], total
    return torch.stack(losses).mean(), {n: g / len(batches) for n, g in total.items()}


def mean_loss(module: Module, batch: Any, loss_fn: LossFunction) -> Tensor:
    """Loss of a batch; of micro-batches the mean."""
    with beside():
        losses = [loss_fn(module, part) for part in parts(batch)]
    return losses[0] if len(losses) == 1 else torch.stack(losses).mean()


def backward(model: Module, batch: Any, loss_fn: LossFunction) -> Tensor:
    """Add the gradient of a batch to ``.grad``; its loss, detached.

    Of micro-batches it is the mean, with one graph at a time; DistributedDataParallel averages over
    the processes once, with the last of them.
    """
    batches = parts(batch)
    losses: list[Tensor] = []
    for number, part in enumerate(batches, 1):
        waits = number < len(batches) and hasattr(model, "no_sync")
        with model.no_sync() if waits else nullcontext():
            loss = loss_fn(model, part)
            (loss / len(batches)).backward()
        losses.append(loss.detach())
    return losses[0] if len(losses) == 1 else torch.stack(losses).mean()


@contextmanager
def preserved_gradients(model: Module) -> Iterator[None]:
    """Have no ``.grad`` for a while; afterwards each parameter has its own again."""
    kept = [(parameter, parameter.grad) for parameter in model.parameters()]
    try:
        for parameter, _ in kept:
            parameter.grad = None
        yield
    finally:
        for parameter, gradient in kept:
            parameter.grad = gradient


@contextmanager
def preserved_buffers(model: Module) -> Iterator[None]:
    """Pass batches through ``model`` beside the step, and leave its buffers (running statistics)
    and plain attributes as they were.

    Each module holds what it held before, the very same objects: a buffer that the pass has
    registered is gone, one that it has replaced is back, and each has its values. So a cache that
    is registered when it is first needed is registered by a training pass.

    Args:
        model: not wrapped, as wrappers keep account of their passes in attributes.
    """
    bindings = Bindings(model)
    buffers = list(model.buffers())
    kept = list(zip(buffers, clones(buffers), strict=True))
    try:
        with beside():
            yield
    finally:
        same = [(buffer, value) for buffer, value in kept if buffer.shape == value.shape]
        for buffer, value in kept:
            if buffer.shape != value.shape:
                buffer.data = value
        copy_to([buffer for buffer, _ in same], [value for _, value in same])
        bindings.restore()
