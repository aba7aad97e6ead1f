"""Batch norm with the statistics of the batch of all processes, so that their number is no matter.

On accelerators it is torch's own (SyncBatchNorm). Torch has none for the CPU; the one here is for
that.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from torch.nn import Module


def share_batch_norm(model: Module) -> Module:
    """The model with batch norms that all processes share; names and values stay.

    Each process must have as many images in a batch. On the CPU the model itself is changed.
    """
    if next(model.parameters()).device.type != "cpu":
        from timm.layers import convert_sync_batchnorm

        return convert_sync_batchnorm(model)
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = _shared(type(module))
    return model


class _SharedStatistics:
    """What goes before a kind of batch norm to share its statistics in training.

    timm's kinds have a dropout and an activation behind the norm.
    """

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return super().forward(images)
        axes = [axis for axis in range(images.dim()) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(images.dim())]
        mean = _mean_of_all(images.mean(axes))
        centred = images - mean.view(shape)
        variance = _mean_of_all(centred.square().mean(axes))
        if self.track_running_stats:
            self._follow(mean.detach(), variance.detach(), images.numel() // len(mean))
        out = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        for after in ("drop", "act"):
            if hasattr(self, after):
                out = getattr(self, after)(out)
        return out

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics, with the unbiased variance as torch does."""
        self.num_batches_tracked += 1
        momentum = self.momentum
        if momentum is None:
            momentum = 1.0 / self.num_batches_tracked.item()
        count *= torch.distributed.get_world_size()
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), momentum)


@cache
def _shared(kind: type[_BatchNorm]) -> type[_BatchNorm]:
    return type(f"Shared{kind.__name__}", (_SharedStatistics, kind), {})


def _mean_of_all(values: Tensor) -> Tensor:
    """Mean over the processes, differentiable."""
    return _Sum.apply(values) / torch.distributed.get_world_size()


class _Sum(torch.autograd.Function):
    """Sum over the processes; its gradient is the sum of theirs, as each one's loss depends on it.

    Torch's own function of this kind is in no place that both old and new versions have.
    """

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _Sum.apply(gradient)
