"""The processes that train one model together (DistributedDataParallel)."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from agc.lazy import torch
from agc.processes.sharded import refuse_sharded

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


def unwrapped(model: Module) -> Module:
    """The module inside DistributedDataParallel, or the model itself."""
    wrapper = torch.nn.parallel.DistributedDataParallel
    return model.module if isinstance(model, wrapper) else model


class Replicas:
    """Means over the processes of a DistributedDataParallel model; one process alone is its mean.

    ``backward`` through the wrapper averages ``.grad``. All other gradients and losses that a
    correction takes go through ``module``, and are averaged here, so that every process sees the
    same numbers: those of one process with the global batch.
    """

    def __init__(self, model: Module) -> None:
        self.module = unwrapped(model)
        refuse_sharded(self.module)
        wrapped = self.module is not model
        self.group = model.process_group if wrapped else None
        self.count = torch.distributed.get_world_size(self.group) if wrapped else 1
        if not wrapped and _others():
            warnings.warn(
                "torch.distributed has several processes and the model is no "
                "DistributedDataParallel: nothing is averaged over them. Wrap the model first, and "
                "give the wrapped one",
                stacklevel=4,
            )

    def mean(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Mean of each tensor over the processes, which must all ask for the same names."""
        if self.count == 1 or not tensors:
            return tensors
        kinds: dict[tuple[torch.dtype, torch.device], list[str]] = {}
        for name, tensor in tensors.items():
            kinds.setdefault((tensor.dtype, tensor.device), []).append(name)
        averaged: dict[str, Tensor] = {}
        for names in kinds.values():
            together = torch.cat([tensors[name].reshape(-1) for name in names])
            torch.distributed.all_reduce(together, group=self.group)
            together.div_(self.count)
            pieces = together.split([tensors[name].numel() for name in names])
            for name, piece in zip(names, pieces, strict=True):
                averaged[name] = piece.reshape(tensors[name].shape)
        return {name: averaged[name] for name in tensors}

    def same_count(self, count: int) -> None:
        """Make sure that all processes have seen as many batches.

        Raises:
            ValueError: they have not; on all of them, so that none waits for another.
        """
        if self.count == 1:
            return
        device = next(self.module.parameters()).device
        extremes = torch.tensor([count, -count], device=device)
        torch.distributed.all_reduce(extremes, op=torch.distributed.ReduceOp.MAX, group=self.group)
        most, least = extremes[0].item(), -extremes[1].item()
        if most != least:
            raise ValueError(
                f"a pass had {least} batches on one process and {most} on another; all need as many"
            )


def _others() -> bool:
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return False
    return distributed.get_world_size() > 1
