"""Small problems on which the gradient correction (AGC) can be worked out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from agc import AGC, rng

Batch = tuple[Tensor, Tensor]


def mean_loss(model: nn.Module, batch: Batch) -> Tensor:
    return cross_entropy(model(batch[0]), batch[1])


def smooth_network() -> nn.Module:
    """In float64, without random layers and batch statistics: the same loss in every pass."""
    with rng.isolated(1):
        return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).double()


def partition(dtype: torch.dtype = torch.float64, sizes: tuple[int, ...] = (9,) * 5) -> list[Batch]:
    generator = rng.generator(0, "data")
    return [
        (
            torch.randn(size, 6, generator=generator, dtype=dtype),
            torch.randint(4, (size,), generator=generator),
        )
        for size in sizes
    ]


def fixed(model: nn.Module, coefficient: float) -> AGC:
    """With a coefficient that no loss changes."""
    return AGC(model, gamma=coefficient, tau0=1.0, alpha=0.0)


def gradient(model: nn.Module, batch: Batch, correction: AGC | None = None) -> Tensor:
    """Flat gradient of a batch, corrected if a correction is given."""
    model.zero_grad()
    mean_loss(model, batch).backward()
    if correction is not None:
        correction.correct(batch, mean_loss)
    return torch.cat([p.grad.reshape(-1) for p in model.parameters()]).clone()


def move(model: nn.Module, scale: float = 0.3) -> None:
    generator = rng.generator(7, "move")
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter.add_(noise, alpha=scale)
