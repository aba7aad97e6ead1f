"""A small training run for the checks of sparse-training methods."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from agc import rng
from agc.methods.base import SparseMethod
from agc.registry import METHODS
from agc.training.step import Step

STEPS = 12

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
}

OFTEN = {
    "update_interval": 2,
    "late_interval": 2,
    "average_interval": 2,
    "iterations": 3,
    "rounds": 2,
}
"""Options, where a method has them, that make much happen in a short run."""


def often(name: str, **changes: int) -> dict[str, int]:
    """Those options of :data:`OFTEN` that a method has."""
    known = METHODS.options(name).model_fields
    return {key: value for key, value in {**OFTEN, **changes}.items() if key in known}


Batch = tuple[Tensor, Tensor]


def network(width: int = 10) -> nn.Module:
    """Two convolutions with normalisation and a classifier: 1,124 prunable weights."""
    with rng.preserved():
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(2, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 8, 3, stride=2, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(8 * 2 * 2, 7),
        ).to(memory_format=torch.channels_last)


def loss_fn(model: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy."""
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


class Problem:
    """A network, its optimizer, a method, and as many batches as there are steps.

    Args:
        name: of the method.
        optimizer: a key of ``OPTIMIZERS``.
        seed: of the method.
        sparsity: 0.8, or 0 for a method that has none.
        model: another network for images of 2 x 6 x 6 and 7 classes.
        loaded: states of model and optimizer, loaded before the method is made.
        options: of the method, beside those that make it update often.
    """

    def __init__(
        self,
        name: str,
        optimizer: str = "sgd",
        *,
        seed: int = 0,
        sparsity: float = 0.8,
        model: nn.Module | None = None,
        loaded: tuple[dict[str, Any], dict[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        self.model = network() if model is None else model
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        if loaded is not None:
            self.model.load_state_dict(loaded[0])
            self.optimizer.load_state_dict(copy.deepcopy(loaded[1]))  # it takes the tensors
        self.sparsity = sparsity if METHODS[name].target.sparse else 0.0
        self.method: SparseMethod = METHODS.create(
            name,
            self.model,
            self.optimizer,
            options={**often(name), **options},
            sparsity=self.sparsity,
            total_steps=STEPS,
            seed=seed,
        )
        self.step = Step(self.model, self.optimizer, loss_fn, self.method)
        generator = torch.Generator().manual_seed(5)
        self.batches: list[Batch] = [
            (
                torch.randn(16, 2, 6, 6, generator=generator),
                torch.randint(7, (16,), generator=generator),
            )
            for _ in range(STEPS)
        ]

    def begin(self) -> None:
        """What comes before the first step."""
        self.step.begin(self.batches)

    def steps(self, first: int = 0, last: int = STEPS) -> Iterator[bool]:
        """Train over some of the batches; says after each step whether the topology changed."""
        for batch in self.batches[first:last]:
            self.step(batch)
            yield self.step.changed

    def overflow(self, number: int) -> bool:
        """A step with this batch whose gradient overflows, so that a GradScaler leaves it out; says
        whether the topology changed. Buffers are left as they were.
        """
        batch = self.batches[number]
        buffers = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        with self.method.updating() as update:
            self.optimizer.zero_grad()
            with self.method.shown(batch, loss_fn):
                loss = loss_fn(self.model, batch)
                loss.backward()
                for parameter in self.model.parameters():
                    if parameter.grad is not None:
                        parameter.grad[:1] = torch.inf
                self.method.observe(loss.detach())
        for buffer, kept in buffers:
            buffer.copy_(kept)
        return update.changed

    def end(self) -> None:
        """What comes after the last step."""
        self.step.end(self.batches)

    def whole(self) -> None:
        """From the preparation to the end."""
        self.begin()
        for _ in self.steps():
            pass
        self.end()

    def masks(self) -> list[Tensor]:
        """Copies of the masks."""
        return [mask.clone() for mask in self.method.masks.values()]

    def state(self) -> list[Tensor]:
        """Copies of masks, weights, buffers and the optimizer's tensors."""
        slots = [slot for slots in self.optimizer.state.values() for slot in slots.values()]
        tensors = [*self.model.state_dict().values(), *filter(torch.is_tensor, slots)]
        return [*self.masks(), *(tensor.clone() for tensor in tensors)]


def alike(one: Any, other: Any) -> bool:
    """Whether what an object keeps in a checkpoint is the same, to the bit."""
    if torch.is_tensor(one):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    return one == other


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    """Whether two lists of tensors agree to the bit."""
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
