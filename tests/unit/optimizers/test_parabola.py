"""Searches by a parabola, against closed forms and on functions that are no parabola."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agc.optimizers.shared.parabola import careful_search, minimiser, published_search


def test_two_losses_and_a_slope_give_the_least_point_of_a_parabola() -> None:
    draws = np.random.default_rng(0)
    for _ in range(200):
        a, b, c = draws.uniform(0.1, 3), draws.uniform(-3, 3), draws.uniform(-3, 3)
        found = minimiser([(0.0, c), (1.0, a + b + c)], b)
        assert abs(found + b / (2 * a)) < 1e-13
        four = [(s, a * s * s + b * s + c) for s in (0.0, 1.0, 0.3, 2.0)]
        assert abs(minimiser(four, b) + b / (2 * a)) < 1e-12
    assert minimiser([(0.0, 1.0), (1.0, -1.0)], -1.0) is None
    assert minimiser([(0.0, 1.0), (1.0, float("nan"))], -1.0) is None


@pytest.mark.parametrize("points", [2, 3])
def test_a_careful_search_stays_within_its_bound_and_ends_at_the_least_loss_seen(
    points: int,
) -> None:
    draws, outside = np.random.default_rng(1), 0
    for _ in range(300):
        bound, tries = draws.uniform(1, 5), int(draws.integers(2, 5))
        a, b, c, d = draws.normal(size=4)
        seen: dict[float, float] = {0.0: d}

        def loss(s: float, a: float = a, b: float = b, c: float = c, d: float = d) -> float:
            return a * s**3 + b * s * s + c * s + d + np.sin(3 * s)

        def noted(s: float, seen: dict = seen, loss: Any = loss) -> float:
            seen[s] = loss(s)
            return seen[s]

        limits = {"bound": bound, "tries": tries, "points": points}
        place = careful_search(noted, d, c, **limits)
        assert 0 <= place <= bound
        assert seen[place] == min(seen.values())
        assert 2 <= len(seen) <= 2 + tries
        there = published_search(loss, d, c, **limits)
        outside += there < 0 or loss(there) > d
    assert outside > 30


def test_a_loss_that_is_not_finite_leaves_the_weights() -> None:
    limits = {"bound": 3.0, "tries": 3, "points": 3}
    assert careful_search(lambda place: float("nan"), 1.0, -1.0, **limits) == 0
    assert careful_search(lambda place: float("inf"), 1.0, -1.0, **limits) == 0


def test_a_slope_of_another_gradient_needs_the_linear_term() -> None:
    """A corrected gradient is off by noise of 30 %. With raw losses and a short trial step the
    step found is a third of the right one in the median; with the linear term it is exact.
    """
    draws, curvature, trial = np.random.default_rng(2), np.linspace(0.1, 1, 50), 0.1
    shares: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(400):
        weight, noise = draws.normal(size=50), draws.normal(size=50)
        raw = curvature * weight
        seen = raw + 0.3 * np.linalg.norm(raw) * noise / np.linalg.norm(noise)
        for tilted in shares:
            moved = weight - trial * seen
            term = (seen - raw) @ (moved - weight) if tilted else 0.0
            losses = [0.5 * curvature @ weight**2, 0.5 * curvature @ moved**2 + term]
            found = minimiser([(0.0, losses[0]), (1.0, losses[1])], -trial * seen @ seen)
            exact = seen @ seen / (curvature @ seen**2)
            shares[tilted].append((found or 0.0) * trial / exact)
    assert np.abs(np.array(shares[True]) - 1).max() < 1e-11
    assert np.median(shares[False]) == pytest.approx(0.34, abs=0.06)
