"""Running statistics of workers that are simulated one after another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from agc.processes.replicas import Replicas


class WorkersStatistics:
    """Each worker's step begins with the buffers of before it, and the means are kept.

    They follow a linear recursion, so the mean of the workers' own is the same whenever it is
    taken: nobody needs to send them before somebody evaluates the network.

    Args:
        model: the network itself.
        replicas: the processes that have workers.
    """

    def __init__(self, model: Module, replicas: Replicas) -> None:
        self.buffers = dict(model.named_buffers())
        self.replicas = replicas
        self.before = {name: buffer.detach().clone() for name, buffer in self.buffers.items()}
        self.totals: dict[str, Tensor] = {}
        self.workers = 0

    @contextmanager
    def of_worker(self) -> Iterator[None]:
        """Within it a worker passes its share through the network."""
        with torch.no_grad():
            for name, buffer in self.buffers.items():
                buffer.copy_(self.before[name])
        yield
        self.workers += 1
        for name, buffer in self.buffers.items():
            if buffer.is_floating_point():
                own = buffer.detach().clone()
                self.totals[name] = self.totals[name] + own if name in self.totals else own

    def take_means(self) -> None:
        """Leave the means in the network; counts of batches are those of one worker."""
        means = {name: total / self.workers for name, total in self.totals.items()}
        with torch.no_grad():
            for name, mean in self.replicas.mean(means).items():
                self.buffers[name].copy_(mean)
