"""A recorded function, by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from agc.cost.meter import Meter
from agc.gradients import graphs
from agc.gradients.graphs import MOST, USUAL, Graphed
from tests.support.recorded import TapeRecorder

Times = Callable[[Sequence[Tensor]], Tensor]


class Problem:
    """A weight times the input, and how often that was computed by Python."""

    def __init__(self) -> None:
        self.weight = torch.tensor([2.0, 3.0])
        self.calls = 0
        self.meter = Meter()
        self.recorder = TapeRecorder()
        self.graphed: Graphed[Tensor] = Graphed(
            "a product", lambda: [self.weight], self.meter, self.recorder
        )

    def times(self, tensors: Sequence[Tensor]) -> Tensor:
        self.calls += 1
        self.meter.forward += 5
        return self.weight * tensors[0]

    def __call__(self, value: float, flags: object = ()) -> list[float]:
        return self.graphed(self.times, [torch.full((2,), value)], flags).tolist()


def test_it_is_computed_by_python_a_few_times_and_then_launched() -> None:
    problem = Problem()
    for number in range(USUAL + 4):
        assert problem(float(number)) == [2.0 * number, 3.0 * number]
    assert problem.calls == USUAL + 1
    assert problem.meter.forward == 5 * (USUAL + 4), "each launch counts what was recorded"


def test_it_sees_weights_that_change_where_they_are() -> None:
    problem = Problem()
    for _ in range(USUAL + 1):
        problem(1.0)
    problem.weight.mul_(10)
    assert problem(1.0) == [20.0, 30.0]
    assert problem.calls == USUAL + 1


def test_weights_that_moved_are_recorded_anew_and_given_up_if_they_keep_moving(
    capsys: pytest.CaptureFixture[str],
) -> None:
    graphs.say.cache_clear()
    problem, kept = Problem(), []
    for move in range(MOST + 2):
        kept.append(problem.weight)  # or the next one may get its place
        problem.weight = torch.tensor([2.0, 3.0]) + move
        for _ in range(USUAL + 2):
            assert problem(2.0) == [4.0 + 2 * move, 6.0 + 2 * move]
    assert len(problem.recorder.tapes) == MOST
    assert problem.graphed.failed
    assert capsys.readouterr().err.count("a product is not recorded as a CUDA graph") == 1


def test_each_shape_and_each_flag_has_a_recording_of_its_own() -> None:
    problem = Problem()
    for _ in range(USUAL + 2):
        problem(1.0), problem(1.0, "other")
        problem.graphed(problem.times, [torch.ones(1)])
    assert len(problem.recorder.tapes) == 3


def test_nothing_is_recorded_while_nobody_counts() -> None:
    problem = Problem()
    with problem.meter.pause():
        for _ in range(USUAL + 2):
            problem(1.0)
    assert not problem.recorder.tapes
