"""When a stage is over: the published rule at its own switches, and ours where that one fails."""

from __future__ import annotations

import math
import random

import pytest

from agc.quantization.shared.plateau import DETECTORS, STAGES, Published

POINTS = 160
CURVES = {
    "exponential": lambda t: math.exp(-t / 10) + 0.05,
    "root": lambda t: (t + 1) ** -0.5,
    "slow": lambda t: 2 * math.exp(-t / 40),
    "constant": lambda t: 1.0,
}
# Numbers of the points after which FracTrain's own class switches, with the paper's and with the
# code's thresholds.
SWITCHES = {
    ("exponential", 0.05, 0.3): (28, 40, 52),
    ("exponential", 0.15, 0.4): (17, 26, 35),
    ("root", 0.05, 0.3): (21, 44, 95),
    ("root", 0.15, 0.4): (12, 19, 33),
    ("slow", 0.05, 0.3): (36, 84, 132),
    ("slow", 0.15, 0.4): (5, 28, 65),
    ("constant", 0.05, 0.3): (5, 10, 15),
    ("constant", 0.15, 0.4): (5, 10, 15),
}


def switches(detector: Published, losses: list[float]) -> tuple[int, ...]:
    """After which points stages end."""
    found = []
    for number, loss in enumerate(losses, 1):
        if detector.stage < STAGES - 1 and detector.fires(loss, number / len(losses)):
            detector.next_stage()
            found.append(number)
    return tuple(found)


@pytest.mark.parametrize(("case", "expected"), SWITCHES.items(), ids=str)
def test_the_published_rule_switches_where_the_published_code_does(
    case: tuple[str, float, float], expected: tuple[int, ...]
) -> None:
    curve, threshold, decay = case
    losses = [CURVES[curve](t) for t in range(POINTS)]
    assert switches(Published(threshold, decay), losses) == expected


@pytest.mark.parametrize("name", DETECTORS)
def test_the_unit_of_the_loss_does_not_matter(name: str) -> None:
    draws = random.Random(0)
    losses = [math.exp(-t / 20) + 0.02 * draws.random() for t in range(POINTS)]
    found = switches(DETECTORS[name](0.05, 0.3), losses)
    assert found == switches(DETECTORS[name](0.05, 0.3), [64 * loss for loss in losses])
    assert len(found) == 3


@pytest.mark.parametrize("name", ["published", "falling"])
def test_a_loss_that_falls_fast_keeps_its_stage(name: str) -> None:
    losses = [10 - 0.06 * t for t in range(POINTS)]
    assert switches(DETECTORS[name](0.02, 1.0), losses) == ()


def test_scatter_keeps_the_published_rule_from_firing_and_not_ours() -> None:
    """A loss that has come to rest at half of its height, and scatters there by a tenth of it."""
    draws = random.Random(1)
    losses = [max(2.0 - 0.1 * t, 1.0) + draws.gauss(0, 0.1) for t in range(POINTS)]
    assert len(switches(DETECTORS["published"](0.05, 0.3), losses)) < 3
    found = switches(DETECTORS["falling"](0.05, 0.3), losses)
    assert len(found) == 3
    assert found[-1] < POINTS / 2


def test_a_loss_that_jumps_ends_a_stage_by_our_rule_alone() -> None:
    losses = [1.0, 0.8, 0.6, 0.4, 1.6]
    assert not switches(DETECTORS["published"](0.05, 0.3), losses)
    assert switches(DETECTORS["falling"](0.05, 0.3), losses) == (5,)


def test_a_schedule_switches_after_each_quarter() -> None:
    assert switches(DETECTORS["schedule"](0.05, 0.3), [1.0] * 40) == (10, 20, 30)
