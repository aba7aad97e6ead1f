"""Small problems that several workers share: each has a quadratic of its own, in float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from agc import Step, rng
from agc.communication.base import Communication
from agc.registry import COMMUNICATION

WORKERS = 4
SIZE = 24
RATE, MOMENTUM, DECAY = 0.05, 0.9, 0.01

Batch = tuple[Tensor, Tensor]


class Two(nn.Module):
    """Two tensors of weights; its output is their quadratic for each row of a batch."""

    def __init__(self) -> None:
        super().__init__()
        draw = rng.generator(0, "weights")
        self.a = nn.Parameter(torch.randn(4, 5, generator=draw, dtype=torch.float64))
        self.b = nn.Parameter(torch.randn(SIZE - 20, generator=draw, dtype=torch.float64))

    def forward(self, matrices: Tensor, targets: Tensor) -> Tensor:
        whole = torch.cat([self.a.reshape(-1), self.b])
        return (torch.einsum("nij,j->ni", matrices, whole) - targets).square().mean(dim=1)


def loss_fn(model: nn.Module, batch: Batch) -> Tensor:
    return model(*batch).mean()


def batches(count: int, rows: int = WORKERS) -> Iterator[Batch]:
    """A row for each worker, unless there are more: another quadratic in each."""
    for number in range(count):
        draw = rng.generator(number, "batch")
        matrices = torch.randn(rows, SIZE, SIZE, generator=draw, dtype=torch.float64)
        yield matrices, torch.randn(rows, SIZE, generator=draw, dtype=torch.float64)


def step_of(name: str, **options: Any) -> tuple[Step, Communication]:
    """A step of a communication by name, with momentum and weight decay."""
    model = Two()
    optimizer = torch.optim.SGD(model.parameters(), RATE, MOMENTUM, weight_decay=DECAY)
    communication = COMMUNICATION.create(name, model, optimizer, options=options, seed=0)
    return Step(model, optimizer, loss_fn, communication=communication), communication


def flat(tensors: Any) -> Tensor:
    """All numbers in a row."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def kept(step: Step, what: str) -> Tensor:
    """What the optimizer's state has of this name, zeros where it has nothing."""
    found = (
        step.optimizer.state[p].get(what, torch.zeros_like(p)) for p in step.model.parameters()
    )
    return flat(found)
