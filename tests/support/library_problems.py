"""Networks and a training loop as users write them: nothing here comes from the suite."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout

from agc import RigL, Step, rng
from agc.corrections.base import Correction
from agc.registry import CORRECTIONS

NAMES = CORRECTIONS.names()


class Samples(NamedTuple):
    """A batch; ``index`` says which one it is, for corrections that need fixed batches."""

    features: Tensor
    labels: Tensor
    index: int = -1


def loss_fn(model: nn.Module, batch: Any) -> Tensor:
    """Mean loss of any batch that begins with features and labels."""
    return cross_entropy(model(batch[0]), batch[1])


def batches(count: int = 4, size: int = 8, dtype: torch.dtype = torch.float64) -> list[Samples]:
    generator = rng.generator(0, "library")
    return [
        Samples(
            torch.randn(size, 6, generator=generator, dtype=dtype),
            torch.randint(4, (size,), generator=generator),
            index,
        )
        for index in range(count)
    ]


def smooth(dtype: torch.dtype = torch.float64) -> nn.Module:
    """The same loss in every pass."""
    with rng.isolated(1):
        return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).to(dtype)


class Everything(nn.Module):
    """Tokens, an embedding tied to the last layer, batch norm (one frozen), dropout in three
    places, a frozen layer, one that no batch reaches, and buffers that are no floats.
    """

    def __init__(self, rate: float = 0.2) -> None:
        super().__init__()
        with rng.isolated(2):
            self.embedding = nn.Embedding(12, 8)
            self.norm = nn.BatchNorm1d(8)
            self.attention = nn.MultiheadAttention(8, 2, dropout=rate, batch_first=True)
            self.frozen = nn.Linear(8, 8)
            self.still = nn.BatchNorm1d(8)
            self.drop = nn.Dropout(rate)
            self.unused = nn.Linear(8, 8)
            self.head = nn.Linear(8, 12, bias=False)
        self.head.weight = self.embedding.weight
        self.frozen.requires_grad_(False)
        self.still.eval()
        self.rate = rate
        self.register_buffer("calls", torch.tensor(0))
        self.register_buffer("seen", torch.zeros(12, dtype=torch.bool))

    def forward(self, tokens: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
            self.seen[tokens.reshape(-1)] = True
        x = self.embedding(tokens)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x = self.drop(self.norm(x.mean(dim=1)))
        x = dropout(torch.tanh(self.still(self.frozen(x))), self.rate, self.training)
        return self.head(x)


def sentences(count: int = 4, size: int = 8) -> list[Samples]:
    generator = rng.generator(0, "sentences")
    return [
        Samples(
            torch.randint(12, (size, 5), generator=generator),
            torch.randint(12, (size,), generator=generator),
            index,
        )
        for index in range(count)
    ]


def make(name: str, model: nn.Module, **options: Any) -> Correction:
    return CORRECTIONS.create(name, model, options=options, seed=0, epochs=3)


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    correction: Correction,
    epochs: Iterable[Iterable[Any]],
    loss_fn: Callable[[nn.Module, Any], Tensor] = loss_fn,
    sparse: RigL | None = None,
) -> None:
    """The whole protocol; a batch may be a group of micro-batches."""
    step = Step(model, optimizer, loss_fn, sparse, correction)
    for passes in epochs:
        step.begin_epoch(passes)
        for batch in passes:
            step(batch)


def flat(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([t.detach().reshape(-1) for t in tensors]).clone()


def corrected(model: nn.Module, correction: Correction, batch: Any, loss_fn: Any) -> Tensor:
    """Flat corrected gradient of a batch."""
    model.zero_grad()
    loss_fn(model, batch).backward()
    correction.correct(batch, loss_fn)
    return flat(p.grad for p in model.parameters() if p.grad is not None)


def same(one: Iterable[Tensor], other: Iterable[Tensor]) -> bool:
    pairs = list(zip(one, other, strict=True))
    assert pairs
    return all(torch.equal(a, b) for a, b in pairs)
