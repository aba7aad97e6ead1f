"""What holds for every sparse-training method."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest
import torch
from torch import nn

from agc.methods.base import SparseMethod
from agc.registry import METHODS
from agc.sparsity.distributions import active_counts
from agc.sparsity.masks import prunable_parameters

STEPS = 12
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
}


class Problem:
    """A small convolutional network, its optimizer and method, and data that never ends."""

    def __init__(self, name: str, optimizer: str = "sgd", seed: int = 0, **context: Any) -> None:
        torch.manual_seed(3)
        self.model = nn.Sequential(
            nn.Conv2d(2, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Conv2d(6, 8, 3, stride=2, bias=False),
            nn.Flatten(),
            nn.Linear(8 * 2 * 2, 5),
        ).to(memory_format=torch.channels_last)
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        self.sparsity = 0.8 if METHODS[name].target.sparse else 0.0
        known = METHODS.options(name).model_fields
        often = {key: value for key, value in {"update_interval": 2}.items() if key in known}
        self.method: SparseMethod = METHODS.create(
            name,
            self.model,
            self.optimizer,
            options=often,
            sparsity=self.sparsity,
            total_steps=STEPS,
            seed=seed,
            **context,
        )
        self.generator = torch.Generator().manual_seed(5)

    def steps(self, count: int) -> Iterator[bool]:
        for _ in range(count):
            images = torch.randn(16, 2, 6, 6, generator=self.generator)
            labels = torch.randint(5, (16,), generator=self.generator)
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.model(images), labels).backward()
            self.method.observe()
            self.optimizer.step()
            yield self.method.step()

    def masks(self) -> list[torch.Tensor]:
        return [mask.clone() for mask in self.method.masks.values()]

    def state(self) -> list[torch.Tensor]:
        return [*self.masks(), *(t.clone() for t in self.model.state_dict().values())]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", METHODS.names())
def test_counts_are_exact_and_pruned_weights_and_their_momentum_are_zero(
    name: str, optimizer: str
) -> None:
    problem = Problem(name, optimizer)
    method, parameters = problem.method, prunable_parameters(problem.model)
    shapes = {layer: tuple(p.shape) for layer, p in parameters.items()}
    expected = active_counts(shapes, problem.sparsity)
    total = sum(p.numel() for p in parameters.values())
    assert sum(expected.values()) == round((1 - problem.sparsity) * total)
    for step, _ in enumerate(chain([False], problem.steps(STEPS))):
        assert method.active() == expected
        assert method.sparsity() == 1 - sum(expected.values()) / total
        assert method.exploration_rate() >= 1 - method.sparsity() - 1e-12
        for layer, parameter in parameters.items():
            pruned = ~method.masks[layer]
            assert int(pruned.sum()) == parameter.numel() - expected[layer]
            assert (parameter[pruned] == 0).all()
            kept = [t for t in problem.optimizer.state[parameter].values() if t.ndim > 0]
            assert len(kept) == {"sgd": 1, "adamw": 2}[optimizer] * (step > 0)
            assert all((tensor[pruned] == 0).all() for tensor in kept)


@pytest.mark.parametrize("name", METHODS.names())
def test_a_step_that_reports_no_change_changed_no_mask(name: str) -> None:
    problem = Problem(name)
    before = problem.masks()
    for changed in problem.steps(STEPS):
        now = problem.masks()
        assert changed or same(before, now)
        before = now


@pytest.mark.parametrize("name", METHODS.names())
def test_storages_and_memory_formats_survive(name: str) -> None:
    problem = Problem(name)
    tensors = [*problem.model.parameters(), *problem.method.masks.values()]
    before = [(t.data_ptr(), t.stride()) for t in tensors]
    list(problem.steps(STEPS))
    after = [*problem.model.parameters(), *problem.method.masks.values()]
    assert [(t.data_ptr(), t.stride()) for t in after] == before


@pytest.mark.parametrize("name", METHODS.names())
def test_all_choices_follow_from_the_seed_and_no_global_stream_moves(name: str) -> None:
    runs = []
    for global_seed in (1, 2):
        problem = Problem(name)
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        list(problem.steps(STEPS))
        assert torch.equal(torch.get_rng_state(), before)
        runs.append(problem.state())
    assert same(*runs)
    if METHODS[name].target.sparse:
        assert not same(Problem(name).masks(), Problem(name, seed=1).masks())


@pytest.mark.parametrize("name", METHODS.names())
@pytest.mark.parametrize("after", [3, 4])
def test_a_restored_method_goes_on_with_the_same_bits(name: str, after: int) -> None:
    whole = Problem(name)
    list(whole.steps(STEPS))
    first = Problem(name)
    list(first.steps(after))
    second = Problem(name)
    second.model.load_state_dict(first.model.state_dict())
    second.optimizer.load_state_dict(copy.deepcopy(first.optimizer.state_dict()))
    second.method.load_state_dict(copy.deepcopy(first.method.state_dict()))
    second.generator.set_state(first.generator.get_state())
    list(second.steps(STEPS - after))
    assert same(whole.state(), second.state())
    assert whole.method.exploration_rate() == second.method.exploration_rate()
    assert whole.method.dense_gradients == second.method.dense_gradients
    assert whole.method.steps == second.method.steps == STEPS


@pytest.mark.parametrize("name", METHODS.names())
def test_a_frozen_layer_keeps_its_weights_and_its_mask(name: str) -> None:
    problem = Problem(name)
    frozen = problem.model[0].weight.requires_grad_(False)
    before = frozen.clone(), problem.method.masks["0.weight"].clone()
    list(problem.steps(STEPS))
    assert same([frozen, problem.method.masks["0.weight"]], [*before])
