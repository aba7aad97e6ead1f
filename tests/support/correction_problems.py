"""Small problems on which gradient corrections can be worked out, and a loop that drives them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agc import Step, rng
from agc.corrections.base import Correction
from agc.datasets.shared.loader import Batch

Loss = Callable[[nn.Module, Any], Tensor]


class Point(nn.Module):
    """One vector of weights in float64."""

    def __init__(self, start: Sequence[float] | Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.as_tensor(start, dtype=torch.float64).clone())


def quadratic_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """(w - a)ᵀ H (w - a) / 2 of a batch (H, a); its gradient is H (w - a)."""
    distance = model.weight - batch[1]
    return distance @ batch[0] @ distance / 2


def linear_loss(model: nn.Module, batch: Batch) -> Tensor:
    """w · x, whose gradient is x wherever w is."""
    return model.weight @ batch.images


def quadratics(
    common: bool, count: int = 6, size: int = 5, scale: float = 1.0
) -> list[tuple[Tensor, Tensor]]:
    """Batches (H, a) with the same Hessian or one each."""
    generator = rng.generator(3, "quadratics")
    roots = torch.randn(count, size, size, generator=generator, dtype=torch.float64)
    places = torch.randn(count, size, generator=generator, dtype=torch.float64)
    hessians = scale * roots @ roots.transpose(1, 2) / size
    return [(hessians[0 if common else b], places[b]) for b in range(count)]


def flat(tensors: Any) -> Tensor:
    """All tensors in one vector, a copy."""
    return torch.cat([t.detach().reshape(-1) for t in tensors]).clone()


def gradient(
    model: nn.Module, batch: Any, loss_fn: Loss, correction: Correction | None = None
) -> Tensor:
    """Flat gradient of a batch at the present weights, corrected if a correction is given."""
    model.zero_grad()
    loss_fn(model, batch).backward()
    if correction is not None:
        correction.correct(batch, loss_fn)
    return flat(p.grad for p in model.parameters())


def gradients(
    model: nn.Module, batches: Sequence[Any], loss_fn: Loss, correction: Correction | None = None
) -> Tensor:
    """Flat gradient of each batch, [batches, weights], each from the same state."""
    rows = []
    for batch in batches:
        state = copy.deepcopy(correction.state_dict()) if correction else {}
        rows.append(gradient(model, batch, loss_fn, correction))
        if correction:
            correction.load_state_dict(state)
    return torch.stack(rows)


def place(model: nn.Module, weights: Tensor) -> None:
    """Put flat ``weights`` into the model."""
    with torch.no_grad():
        torch.nn.utils.vector_to_parameters(weights.clone(), model.parameters())


def plain_gradients(
    model: nn.Module, weights: Tensor, batches: Sequence[Any], loss_fn: Loss
) -> np.ndarray:
    """Gradient of each batch at ``weights``, [batches, weights], by a copy of the model."""
    other = copy.deepcopy(model)
    place(other, weights)
    return gradients(other, batches, loss_fn).numpy()


def follow(
    model: nn.Module,
    correction: Correction,
    batches: Sequence[Any],
    loss_fn: Loss,
    optimizer: torch.optim.Optimizer,
    epochs: int = 2,
) -> Tensor:
    """Train as the suite does; flat weights after each step, [steps, weights]."""
    path, step = [], Step(model, optimizer, loss_fn, correction=correction)
    for _ in range(epochs):
        step.begin_epoch(batches)
        for batch in batches:
            step(batch)
            path.append(flat(model.parameters()))
    return torch.stack(path)


def convolutions() -> nn.Module:
    with rng.isolated(4):
        return nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3, bias=True)
        ).double()


def image_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def images() -> tuple[Tensor, Tensor]:
    generator = rng.generator(1, "images")
    return (
        torch.randn(5, 2, 4, 4, generator=generator, dtype=torch.float64),
        torch.randint(3, (5,), generator=generator),
    )
