"""``Step`` owns the order: who is called when, again, and what is left when something fails."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agc import AGC, MicroBatches, RigL, Static, Step, rng
from agc.conformance import method_problem
from agc.conformance.method_problem import STEPS, Problem, network
from agc.corrections.base import Correction
from agc.methods.base import SparseMethod
from agc.registry import CORRECTIONS, METHODS
from agc.training.observer import Observer
from tests.support.library_problems import (
    Everything,
    batches,
    flat,
    loss_fn,
    make,
    sentences,
    smooth,
)

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


def leaves(state: Any) -> Iterator[Any]:
    """All that is nested in a state, in order."""
    if isinstance(state, dict):
        for key in state:
            yield from leaves(state[key])
    elif isinstance(state, list | tuple):
        for one in state:
            yield from leaves(one)
    else:
        yield state.detach().clone() if torch.is_tensor(state) else copy.deepcopy(state)


def assert_same(one: Any, other: Any) -> None:
    for mine, theirs in zip(leaves(one), leaves(other), strict=True):
        equal = torch.equal(mine, theirs) if torch.is_tensor(mine) else mine == theirs
        assert equal, (mine, theirs)


def asking(name: str, times: int, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Problem:
    """A method's problem whose optimizer asks ``times`` times in each step."""
    make_optimizer = lambda p: Asks(p, lr=0.1, momentum=0.9, weight_decay=1e-3)  # noqa: E731
    monkeypatch.setitem(method_problem.OPTIMIZERS, "asks", make_optimizer)
    problem = Problem(name, "asks", **options)
    problem.optimizer.times = times
    return problem


# --- the order ------------------------------------------------------------------------------------


class Log(list[str]):
    def noting(self, name: str) -> Callable[..., Any]:
        return lambda *_, **__: self.append(name)

    @contextmanager
    def around(self, name: str) -> Iterator[None]:
        self.append(f"{name} (")
        yield
        self.append(f") {name}")


def spied() -> tuple[Step, Log]:
    log, model = Log(), smooth()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    class Method(SparseMethod):
        begin, observe, end = log.noting("begin"), log.noting("observe"), log.noting("end")

        @contextmanager
        def shown(self, batch: Any, loss_fn: Any) -> Iterator[None]:
            with log.around("shown"):
                yield

        @contextmanager
        def updating(self) -> Iterator[Any]:
            with log.around("updating"), super().updating() as update:
                yield update

        def advance(self) -> bool:
            log.append("advance")
            return super().advance() or self.steps == 2

    class Correct(Correction):
        begin_epoch, correct = log.noting("begin_epoch"), log.noting("correct")
        on_topology_update = log.noting("on_topology_update")

        @contextmanager
        def point(self, batch: Any, loss_fn: Any) -> Iterator[None]:
            with log.around("point"):
                yield

    class Looks(Observer):
        epoch_begun = log.noting("epoch_begun")
        corrected, stepped = log.noting("corrected"), log.noting("stepped")

    def loss(model: nn.Module, batch: Any) -> Tensor:
        log.append("loss")
        return loss_fn(model, batch)

    optimizer.register_step_pre_hook(log.noting("optimizer"))
    method, correction = Method(model, optimizer, sparsity=0.5), Correct(model)
    step = Step(model, optimizer, loss, method, correction, clip_norm=1.0, observers=[Looks()])
    return step, log


def test_the_order_is_that_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    step, log = spied()
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", log.noting("clip"))
    step.begin_epoch(DATA)
    assert log == ["begin", "begin_epoch", "epoch_begun"]
    log.clear()
    step(DATA[0])
    assert not step.changed
    gradient = ["shown (", "point (", "loss", "observe", ") point", "correct", "corrected", "clip"]
    inside = ["updating (", *gradient, ") shown", "optimizer", "advance", ") updating"]
    assert log == [*inside, "stepped"]
    log.clear()
    step(DATA[1])
    assert step.changed
    assert log == [*inside, "on_topology_update", "stepped"]
    log.clear()
    step.begin_epoch(DATA)
    step.end(DATA)
    assert log == ["begin_epoch", "epoch_begun", "end"]


def test_begin_comes_once_and_not_in_a_run_that_goes_on() -> None:
    step, log = spied()
    step.begin(DATA)
    step.begin_epoch(DATA)
    assert log.count("begin") == 1
    other, log = spied()
    other.sparse.load_state_dict({**other.sparse.state_dict(), "steps": 7})
    other.begin_epoch(DATA)
    assert "begin" not in log


def test_without_method_and_correction_it_is_the_optimizers_step() -> None:
    models = smooth(), smooth()
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in models]
    step = Step(models[1], optimizers[1], loss_fn)
    step.begin_epoch(DATA)
    for batch in DATA:
        optimizers[0].zero_grad()
        expected = loss_fn(models[0], batch)
        expected.backward()
        optimizers[0].step()
        found = step(batch)
        assert torch.equal(found, expected)
        assert not found.requires_grad
    assert torch.equal(flat(models[0].parameters()), flat(models[1].parameters()))
    assert step.sparse.steps == len(DATA)


def test_micro_batches_make_one_step_of_their_mean() -> None:
    model = smooth()
    step = Step(model, torch.optim.SGD(model.parameters(), lr=0.0), loss_fn)
    rows = []
    for batch in DATA:
        losses = step(batch)
        rows.append((flat(p.grad for p in model.parameters()), losses))
    loss = step(MicroBatches(tuple(DATA)))
    found = flat(p.grad for p in model.parameters())
    torch.testing.assert_close(found, torch.stack([g for g, _ in rows]).mean(dim=0))
    torch.testing.assert_close(loss, torch.stack([value for _, value in rows]).mean())
    torch.testing.assert_close(step.probe(MicroBatches(tuple(DATA))), loss)
    assert step.sparse.steps == len(DATA) + 1


# --- when something fails -------------------------------------------------------------------------


class Fails(Exception):
    pass


def failing(model: nn.Module, batch: Any) -> Tensor:
    """A loss whose backward pass fails."""
    value = method_problem.loss_fn(model, batch)

    def fail(gradient: Tensor) -> None:
        raise Fails

    value.register_hook(fail)
    return value


@pytest.mark.parametrize("name", METHOD_NAMES)
@pytest.mark.parametrize("place", ["backward", "correction", "optimizer"])
def test_what_fails_leaves_the_method_where_it_was(
    name: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, same = Problem(name), Problem(name)
    for one in (problem, same):
        one.begin()
        assert len(list(one.steps(0, 3))) == 3

    def fail(*_: Any) -> None:
        raise Fails

    def state() -> list[Any]:
        kept = (problem.method.masks, getattr(problem.method, "hidden", {}), problem.method.steps)
        return list(leaves([*kept, list(problem.model.parameters())]))

    before = state()
    with monkeypatch.context() as patch:
        if place == "backward":
            patch.setattr(problem.step, "loss_fn", failing)
        elif place == "correction":
            patch.setattr(problem.step.correction, "correct", fail)
        else:
            patch.setattr(problem.optimizer, "step", fail)
        with pytest.raises(Fails):
            problem.step(problem.batches[3])
    assert_same(state(), before)
    if place == "backward":  # before anything was counted: the step may be made after all
        same.model.load_state_dict(problem.model.state_dict())
        assert list(problem.steps(3)) == list(same.steps(3))
        assert_same(list(problem.model.parameters()), list(same.model.parameters()))
    else:
        assert len(list(problem.steps(3))) == STEPS - 3


@pytest.mark.parametrize("name", ["sam", "s2-sam", "extragradient"])
def test_what_fails_at_another_point_comes_back(name: str) -> None:
    model = smooth()
    correction = make(name, model)
    step = Step(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_fn, None, correction)
    step.begin_epoch(DATA)
    step(DATA[0])
    home = flat(model.parameters())

    def loss(model: nn.Module, batch: Any) -> Tensor:
        if not torch.equal(flat(model.parameters()), home):
            raise Fails
        return loss_fn(model, batch)

    step.loss_fn = loss
    with pytest.raises(Fails):
        step(DATA[1])
    assert torch.equal(flat(model.parameters()), home)


# --- the gradient again, and the loss alone -------------------------------------------------------


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


# --- optimizers that take a closure ---------------------------------------------------------------


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


def test_networks_without_masks_have_none_to_keep() -> None:
    model = network()
    step = Step(model, torch.optim.SGD(model.parameters(), lr=0.1), method_problem.loss_fn)
    assert step.sparse.touched() == ({}, {})
    assert step.correction.masks == {}


# --- the calls one by one -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "correction"),
    [
        ("n:m", "agc"),
        ("cigl", "sam"),
        ("vr-pge", "none"),
        ("top-kast", "sarah"),
        ("rigl", "l-svrg"),
    ],
)
def test_the_calls_of_the_table_have_the_bits_of_a_step(method: str, correction: str) -> None:
    problems = [Problem(method), Problem(method)]
    loss = method_problem.loss_fn
    first, second = (make(correction, problem.model) for problem in problems)
    step = Step(problems[0].model, problems[0].optimizer, loss, problems[0].method, first)
    sparse, optimizer, model = problems[1].method, problems[1].optimizer, problems[1].model
    data = problems[1].batches

    step.begin_epoch(data)
    for batch in data:
        step(batch)
    step.end(data)

    second.attach(sparse)
    sparse.begin(data, loss)
    second.begin_epoch(data, loss)
    for batch in data:
        with sparse.updating() as update:
            optimizer.zero_grad()
            with sparse.shown(batch, loss):
                with second.point(batch, loss):
                    value = loss(model, batch)
                    value.backward()
                    sparse.observe(value.detach())
                second.correct(batch, loss)
            optimizer.step()
        if update.changed:
            second.on_topology_update(sparse.masks)
    sparse.end(data, loss)
    assert_same(problems[0].state(), problems[1].state())


def test_an_autocast_around_the_whole_loop_keeps_no_stale_weights() -> None:
    def inside(model: nn.Module, batch: Any) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return loss_fn(model, batch)

    data = batches(dtype=torch.float32)
    results = []
    for outer, loss in ((False, inside), (True, loss_fn)):
        model = smooth(torch.float32)
        step = Step(model, torch.optim.SGD(model.parameters(), lr=0.1), loss)
        with torch.autocast("cpu", torch.bfloat16, enabled=outer):
            losses = [step(batch) for batch in data]
            results.append([*losses, step.probe(data[0]), flat(model.parameters())])
    assert_same(*results)
