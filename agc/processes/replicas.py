"""The processes that train one model together (DistributedDataParallel)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agc.lazy import torch
from agc.processes.sharded import refuse_sharded
from agc.processes.wrappers import distributed, unwrapped, ways_into

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


class Replicas:
    """Means over the processes of a DistributedDataParallel model; one process alone is its mean.

    ``backward`` through the wrapper averages ``.grad``. All other gradients and losses that a
    correction takes go through ``passes``, and are averaged here, so that every process sees the
    same numbers: those of one process with the global batch.

    Attributes:
        module: the network itself, whatever wraps it.
        ways: where calls of the network can be noticed; see :func:`ways_into`.
        passes: what passes beside the step go through: the network, or its compiled form.
    """

    def __init__(self, model: Module) -> None:
        self.module = unwrapped(model)
        refuse_sharded(self.module)
        self.ways = ways_into(model)
        self.passes = self.ways[-1]
        wrapper = distributed(model)
        wrapped = wrapper is not None
        self.group = wrapper.process_group if wrapped else None
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

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Within it this process is alone: a mean is its own value."""
        count, self.count = self.count, 1
        try:
            yield
        finally:
            self.count = count

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
