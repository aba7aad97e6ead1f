from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agc.dynamics.steps import steps_to

LOSSES = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=30)


def test_an_exponential_fall_is_read_exactly() -> None:
    def loss(step: float) -> float:
        return 2 * math.exp(-0.03 * step)

    losses = [loss(10 * (epoch + 0.5)) for epoch in range(20)]
    for steps in (1, 5, 12, 100.5):
        assert steps_to(loss(steps), 2.0, losses, 10) == pytest.approx(steps)


@given(initial=st.floats(1e-6, 1e3), losses=LOSSES, targets=st.tuples(*[st.floats(1e-6, 1e3)] * 2))
def test_a_lower_target_is_never_reached_sooner(
    initial: float, losses: list[float], targets: tuple[float, float]
) -> None:
    high, low = max(targets), min(targets)
    first, last = (steps_to(target, initial, losses, 7) for target in (high, low))
    if last is not None:
        assert first is not None
        assert first <= last * (1 + 1e-9) + 1e-9
        assert last <= 7 * len(losses)


def test_what_is_there_already_takes_no_step_and_what_never_comes_none() -> None:
    assert steps_to(3.0, 2.0, [5.0], 10) == 0.0
    assert steps_to(0.5, 2.0, [1.0, 0.6, 0.7], 10) is None
    # The first time counts, whatever comes later.
    assert steps_to(0.5, 2.0, [0.5, 3.0, 0.1], 10) == pytest.approx(5)
