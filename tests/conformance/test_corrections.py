"""What holds for every gradient correction."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from agc import RigL, rng
from agc.corrections.base import Correction
from agc.evaluation.cost import Meter
from agc.registry import CORRECTIONS

BATCHES, SIZE = 4, 8


def mean_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return cross_entropy(model(batch[0]), batch[1])


class Problem:
    """A network with batch norm, dropout, a tied and a frozen weight; correction and optimizer."""

    def __init__(self, name: str) -> None:
        torch.manual_seed(1)
        with rng.isolated(2):
            self.model = nn.Sequential(
                nn.Linear(6, 6),
                nn.BatchNorm1d(6),
                nn.Dropout(0.3),
                nn.Linear(6, 6, bias=False),
                nn.Tanh(),
                nn.Linear(6, 4),
            )
        self.model[3].weight = self.model[0].weight
        self.model[5].bias.requires_grad_(False)
        self.meter = Meter()
        self.meter.watch(self.model)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=0.1, momentum=0.9)
        self.sparse = RigL(
            self.model, self.optimizer, sparsity=0.5, total_steps=40, update_interval=3
        )
        self.correction: Correction = CORRECTIONS.create(name, self.model, options={}, seed=0)
        generator = rng.generator(0, "data")
        self.batches = [
            (
                torch.randn(SIZE, 6, generator=generator),
                torch.randint(4, (SIZE,), generator=generator),
            )
            for _ in range(BATCHES)
        ]

    def begin(self) -> None:
        self.correction.begin_epoch(iter(self.batches), mean_loss)

    def backward(self, batch: tuple[Tensor, Tensor]) -> None:
        self.optimizer.zero_grad()
        mean_loss(self.model, batch).backward()
        self.sparse.observe()

    def step(self, batch: tuple[Tensor, Tensor]) -> None:
        self.backward(batch)
        self.correction.correct(batch, mean_loss)
        self.optimizer.step()
        if self.sparse.step():
            self.correction.on_topology_update(self.sparse.masks)

    def epoch(self) -> None:
        self.begin()
        for batch in self.batches:
            self.step(batch)

    def untouchable(self) -> list[Any]:
        model = self.model
        tensors = [*model.parameters(), *model.buffers(), *self.sparse.masks.values()]
        tensors += [s["momentum_buffer"] for s in self.optimizer.state.values()]
        flags = [[p.requires_grad for p in model.parameters()]]
        modes = [[module.training for module in model.modules()]]
        return [*(t.detach().clone() for t in [*tensors, torch.get_rng_state()]), *flags, *modes]

    def gradients(self) -> list[Tensor | None]:
        return [None if p.grad is None else p.grad.clone() for p in self.model.parameters()]


def same(one: list[Any], other: list[Any]) -> bool:
    return all(
        torch.equal(a, b) if torch.is_tensor(a) and torch.is_tensor(b) else a == b
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("name", CORRECTIONS.names())
def test_nothing_but_the_gradients_is_touched(name: str) -> None:
    problem = Problem(name)
    problem.epoch()
    problem.backward(problem.batches[0])
    before, gradients = problem.untouchable(), problem.gradients()
    problem.begin()
    assert same(problem.untouchable(), before)
    assert same(problem.gradients(), gradients)
    problem.correction.correct(problem.batches[0], mean_loss)
    assert same(problem.untouchable(), before)


@pytest.mark.parametrize("name", CORRECTIONS.names())
def test_frozen_weights_stay_frozen_and_tied_ones_tied(name: str) -> None:
    problem = Problem(name)
    frozen = problem.model[5].bias.clone()
    for _ in range(2):
        problem.epoch()
    assert torch.equal(problem.model[5].bias, frozen)
    assert problem.model[5].bias.grad is None
    assert problem.model[3].weight is problem.model[0].weight
    assert all(torch.isfinite(p).all() for p in problem.model.parameters())


@pytest.mark.parametrize("name", CORRECTIONS.names())
def test_passes_are_the_declared_ones(name: str) -> None:
    problem = Problem(name)
    cost = CORRECTIONS[name].target.cost(**CORRECTIONS.resolve(name, {}))
    images = BATCHES * SIZE
    for _ in range(2):
        before = problem.meter.units(images)
        problem.begin()
        assert problem.meter.units(images) - before == cost.snapshot
        before = problem.meter.units(images)
        for batch in problem.batches:
            problem.step(batch)
        assert problem.meter.units(images) - before == cost.step + 3
    assert cost.tensors >= 0
    assert isinstance(cost.prepared_pass, bool)


@pytest.mark.parametrize("name", CORRECTIONS.names())
def test_a_declared_pass_is_what_the_batches_are_used_for(name: str) -> None:
    problem = Problem(name)
    cost = CORRECTIONS[name].target.cost(**CORRECTIONS.resolve(name, {}))
    seen = []
    problem.correction.begin_epoch((seen.append(1) or b for b in problem.batches), mean_loss)
    assert len(seen) == (BATCHES if cost.prepared_pass else 0)


@pytest.mark.parametrize("name", CORRECTIONS.names())
@pytest.mark.parametrize("within", [0, 2], ids=["at an epoch's end", "within an epoch"])
def test_a_restored_correction_goes_on_with_the_same_bits(name: str, within: int) -> None:
    whole, other = Problem(name), Problem(name)
    for _ in range(2):
        whole.epoch()
    if within:
        whole.begin()
        for batch in whole.batches[:within]:
            whole.step(batch)
    other.model.load_state_dict(whole.model.state_dict())
    for attribute in ("optimizer", "sparse", "correction"):
        state = copy.deepcopy(getattr(whole, attribute).state_dict())
        getattr(other, attribute).load_state_dict(state)
    results = []
    for problem in (whole, other):
        torch.manual_seed(9)  # dropout of this plain loop
        for batch in problem.batches[within:] if within else []:
            problem.step(batch)
        problem.epoch()
        diagnostics = problem.correction.diagnostics()
        results.append([*problem.model.state_dict().values(), diagnostics])
    assert same(*results)


@pytest.mark.parametrize("name", CORRECTIONS.names())
def test_diagnostics_are_finite_numbers(name: str) -> None:
    problem = Problem(name)
    problem.epoch()
    for value in problem.correction.diagnostics().values():
        assert isinstance(value, float)
        assert math.isfinite(value)
