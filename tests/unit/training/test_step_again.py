"""The gradient of a step asked for again, its loss alone, and optimizers with a closure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agc import AGC, MicroBatches, RigL, Static, Step, rng
from agc.conformance import method_problem
from agc.conformance.method_problem import Problem
from agc.registry import CORRECTIONS, METHODS
from tests.support.library_problems import (
    Everything,
    batches,
    flat,
    loss_fn,
    make,
    sentences,
    smooth,
)
from tests.support.states import assert_same, leaves

METHOD_NAMES = METHODS.names()
DATA = batches()


class Asks(torch.optim.SGD):
    """Asks for the gradient ``times`` times in each step; ``between`` comes before each but the
    first.
    """

    times = 1
    between: Callable[[], None] = staticmethod(lambda: None)

    def step(self, closure: Callable[[], Tensor]) -> Tensor:
        losses = []
        for number in range(self.times):
            if number:
                self.between()
            losses.append(closure())
        super().step()
        return losses[0]


def asking(name: str, times: int, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Problem:
    """A method's problem whose optimizer asks ``times`` times in each step."""
    make_optimizer = lambda p: Asks(p, lr=0.1, momentum=0.9, weight_decay=1e-3)  # noqa: E731
    monkeypatch.setitem(method_problem.OPTIMIZERS, "asks", make_optimizer)
    problem = Problem(name, "asks", **options)
    problem.optimizer.times = times
    return problem


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_a_gradient_at_trial_weights_is_that_of_the_sparse_network(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = asking(name, 2, monkeypatch)
    if not problem.method.repeatable:
        problem.optimizer.times = 1
    trials, seen = [], []
    draws = rng.generator(0, "trial")

    def move() -> None:
        with torch.no_grad():
            for parameter in problem.model.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=draws))
        trials.append(flat(problem.model.parameters()))
        probes.append(problem.step.probe(problem.batches[0]))
        assert torch.equal(flat(problem.model.parameters()), trials[-1])

    probes: list[Tensor] = []

    def loss(model: nn.Module, batch: Any) -> Tensor:
        for layer, mask in problem.method.masks.items():
            if name != "vr-pge":  # whose forward pass sees channels that are drawn
                assert not problem.method.parameters[layer][~mask].any()
        value = method_problem.loss_fn(model, batch)
        seen.append(value.detach().clone())
        return value

    problem.begin()
    problem.step.loss_fn = loss
    problem.optimizer.between = move
    for batch in problem.batches[:1] * 3:
        problem.step(batch)
        if problem.method.repeatable:
            # First gradient, probe, second gradient at the same weights.
            assert torch.equal(seen[-1], seen[-2])
            assert torch.equal(seen[-1], probes[-1])
            assert not torch.equal(seen[-1], seen[-3])
    if problem.method.repeatable:
        assert len(trials) == 3


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_a_method_counts_one_gradient_of_a_step_or_refuses_others(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, thrice = (asking(name, times, monkeypatch) for times in (1, 3))
    once.whole()
    if not once.method.repeatable:
        with pytest.raises(RuntimeError, match="one gradient of a step alone"):
            thrice.whole()
        return
    thrice.whole()
    for one, other in ((once.method, thrice.method), (once.model, thrice.model)):
        assert_same(one.state_dict(), other.state_dict())
    assert_same(once.optimizer.state_dict(), thrice.optimizer.state_dict())


def quiet_loss(model: nn.Module, batch: Any) -> Tensor:
    """Dropout draws the same for a batch in every pass over it."""
    with rng.isolated(batch.index):
        return loss_fn(model, batch)


@pytest.mark.parametrize(
    ("name", "options"),
    [*((name, {}) for name in CORRECTIONS.names()), ("scsg", {"batches": 2, "interval": 3})],
)
def test_a_correction_counts_one_gradient_of_a_step_or_refuses_others(
    name: str, options: dict[str, Any]
) -> None:
    outcomes = []
    for times in (1, 3):
        model = Everything()
        optimizer = Asks([p for p in model.parameters() if p.requires_grad], lr=0.05, momentum=0.9)
        optimizer.times = times
        sparse = RigL(model, optimizer, sparsity=0.5, total_steps=40, update_interval=3)
        correction = make(name, model, **options)
        step = Step(model, optimizer, quiet_loss, sparse, correction)
        if times > 1 and not correction.repeatable:
            step.begin_epoch(sentences())
            with pytest.raises(RuntimeError, match="one gradient of a step alone"):
                step(sentences()[0])
            return
        for _ in range(3):
            step.begin_epoch(sentences())
            for batch in sentences():
                step(batch)
        parts = (model, optimizer, sparse, correction)
        outcomes.append([one.state_dict() for one in parts])
    assert_same(*outcomes)


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_a_probe_leaves_nothing_behind(name: str) -> None:
    problem = Problem(name)
    problem.begin()
    assert len(list(problem.steps(0, 2))) == 2

    def state() -> list[Any]:
        model = problem.model
        gradients = [p.grad for p in model.parameters()]
        modes = [module.training for module in model.modules()]
        tensors = [problem.method.state_dict(), model.state_dict(), torch.get_rng_state()]
        return list(leaves([*tensors, gradients, modes]))

    before = state()
    loss = problem.step.probe(problem.batches[2])
    assert_same(state(), before)
    assert not loss.requires_grad
    assert loss.isfinite()


def test_a_probe_moves_no_global_stream_and_no_running_mean() -> None:
    model = Everything()
    step = Step(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_fn)
    before = list(leaves([model.state_dict(), torch.get_rng_state()]))
    one, other = step.probe(sentences()[0]), step.probe(sentences()[0])
    assert torch.equal(one, other)
    assert_same([model.state_dict(), torch.get_rng_state()], before)
    assert all(p.grad is None for p in model.parameters())


def test_an_optimizer_that_needs_a_closure_gets_one() -> None:
    model = smooth()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=8)
    sparse = Static(model, optimizer, sparsity=0.3)
    step = Step(model, optimizer, loss_fn, sparse)
    whole = MicroBatches(tuple(DATA))
    losses = [step(whole).item() for _ in range(8)]
    assert losses[-1] < 0.2 * losses[0]
    for name, mask in sparse.masks.items():
        assert not model.get_parameter(name)[~mask].any()
    assert sparse.steps == 8


def test_a_correction_that_counts_steps_refuses_a_line_search() -> None:
    model = smooth()
    step = Step(model, torch.optim.LBFGS(model.parameters()), loss_fn, None, AGC(model))
    step.begin_epoch(DATA)
    with pytest.raises(RuntimeError, match="AGC takes part in one gradient"):
        step(DATA[0])
