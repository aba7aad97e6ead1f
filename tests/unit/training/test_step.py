"""``Step`` owns the order: who is called when, in one call or one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agc import MicroBatches, Step
from agc.conformance import method_problem
from agc.conformance.method_problem import Problem, network
from agc.corrections.base import Correction
from agc.methods.base import SparseMethod
from agc.training.observer import Observer
from tests.support.library_problems import (
    batches,
    flat,
    loss_fn,
    make,
    smooth,
)
from tests.support.states import assert_same

DATA = batches()


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


def test_networks_without_masks_have_none_to_keep() -> None:
    model = network()
    step = Step(model, torch.optim.SGD(model.parameters(), lr=0.1), method_problem.loss_fn)
    assert step.sparse.touched() == ({}, {})
    assert step.correction.masks == {}


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
