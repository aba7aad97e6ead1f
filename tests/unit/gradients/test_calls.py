"""What notices the calls of a model leaves nothing on it."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agc import AGC, SVRG, Step
from agc.conformance.correction_problem import attributes, saved
from agc.cost.meter import Meter
from agc.gradients.calls import PLACE, Watch
from tests.support.library_problems import batches, loss_fn, smooth


class Counts:
    def __init__(self, *models: nn.Module) -> None:
        self.calls = self.results = 0
        self.watch = Watch(models, before=self.before, after=self.after)

    def before(self, model: nn.Module, args: tuple[Any, ...]) -> None:
        self.calls += 1

    def after(self, model: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        self.results += len(output)


INPUT = torch.zeros(3, 6).double()


def test_calls_are_counted_until_it_is_closed() -> None:
    model = smooth()
    one, other = Counts(model), Counts(model)
    model(INPUT)
    one.watch.close()
    model(INPUT)
    assert (one.calls, one.results, other.calls, other.results) == (1, 3, 2, 6)
    one.watch.renew()
    model(INPUT)
    assert one.calls == 1
    assert one.watch.closed
    other.watch.close()
    assert PLACE not in vars(model)


def test_several_models_are_watched_and_a_dead_one_is_forgotten() -> None:
    one, other = smooth(), smooth()
    counts = Counts(one, other)
    one(INPUT), other(INPUT)
    del one
    gc.collect()
    other(INPUT)
    assert counts.calls == 3
    assert not counts.watch.closed
    counts.watch.close()
    assert PLACE not in vars(other)


def test_a_compiled_call_is_back_in_its_place() -> None:
    model = smooth()
    model.compile(backend="eager")
    compiled = vars(model)[PLACE]
    counts = Counts(model)
    model(INPUT)
    model.compile(backend="aot_eager")  # which takes the place
    counts.watch.renew()
    model(INPUT)
    assert counts.calls == 2
    del counts
    gc.collect()
    assert PLACE in vars(model)
    assert vars(model)[PLACE] is not compiled
    assert not hasattr(vars(model)[PLACE], "watches")


def test_it_is_copied_with_who_watches_and_never_with_the_model_alone() -> None:
    model = smooth()
    counts = Counts(model)
    alone = copy.deepcopy(model)
    assert PLACE not in vars(alone)
    both = copy.deepcopy((model, counts)), pickle.loads(pickle.dumps((model, counts)))
    for twin, copied in both:
        twin(INPUT)
        assert (copied.calls, counts.calls) == (1, 0)
    model(INPUT)
    assert counts.calls == 1
    assert both[0][1].calls == 1


@pytest.mark.parametrize("how", ["close", "with", "collected"])
def test_ten_corrections_leave_nothing(how: str) -> None:
    model, data = smooth(), batches()
    before, size = attributes(model), saved(model)
    for _ in range(10):
        correction = AGC(model)
        if how == "with":
            with correction:
                correction.begin_epoch(data, loss_fn)
            continue
        correction.begin_epoch(data, loss_fn)
        assert saved(model) == size
        if how == "close":
            correction.close()
        else:
            del correction
    gc.collect()
    assert attributes(model) == before
    assert saved(model) == size


def test_a_closed_correction_says_so() -> None:
    model, data = smooth(), batches()
    with SVRG(model) as correction:
        correction.begin_epoch(data, loss_fn)
    loss_fn(model, data[0]).backward()
    with pytest.raises(RuntimeError, match="has been closed"):
        correction.correct(data[0], loss_fn)


def test_a_model_is_saved_copied_and_exported_while_it_is_trained(tmp_path: Path) -> None:
    model, data, meter = smooth(), batches(), Meter()
    meter.watch(model)
    step = Step(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_fn, None, AGC(model))
    step.begin_epoch(data)
    step(data[0])
    expected, counted = model(INPUT).detach(), meter.forward
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        scripted = torch.jit.script(model)
        torch.jit.save(scripted, tmp_path / "scripted.pt")
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    others = [
        scripted,
        torch.export.export(model, (INPUT,)).module(),
        torch.fx.symbolic_trace(model),
        copy.deepcopy(model),
        torch.load(file, weights_only=False),
    ]
    for other in others:
        assert torch.equal(other(INPUT), expected)
    assert meter.forward == counted
    step(data[1])
