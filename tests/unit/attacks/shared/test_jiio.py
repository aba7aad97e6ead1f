"""The joint iteration against closed forms, in double precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agc import rng
from agc.architectures.deq_tiny import DEQTiny
from agc.attacks.shared.jiio import FREE, Solution, solve_jointly
from agc.attacks.shared.threat import L2Ball, LinfBall

STATES, INPUTS, SAMPLES = 6, 4, 3
EPSILON = 0.3


class Linear:
    """z = A z + B x + b with |A| = 0.5 and B of orthonormal columns, so that G = (I - A)^-1 B."""

    def __init__(self) -> None:
        generator = rng.generator(0, "linear")

        def drawn(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.a = drawn(STATES, STATES)
        self.a *= 0.5 / torch.linalg.matrix_norm(self.a, ord=2)
        self.b = torch.linalg.qr(drawn(STATES, INPUTS)).Q
        self.bias, self.wanted = drawn(STATES), drawn(SAMPLES, STATES)
        self.whole = torch.eye(STATES, dtype=torch.float64) - self.a
        self.gain = torch.linalg.solve(self.whole, self.b)

    def following(self, x: Tensor, state: Tensor) -> Tensor:
        return state @ self.a.mT + x @ self.b.mT + self.bias

    def state(self, x: Tensor) -> Tensor:
        return torch.linalg.solve(self.whole, (x @ self.b.mT + self.bias).mT).mT

    def quadratic(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return self.following(x, state), ((state - self.wanted) ** 2).sum(dim=1) / 2

    def linear(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return self.following(x, state), (state * self.wanted).sum(dim=1)

    def solved(self, equation: Any, **settings: Any) -> Solution:
        x = torch.zeros(SAMPLES, INPUTS, dtype=torch.float64)
        state = torch.zeros(SAMPLES, STATES, dtype=torch.float64)
        return solve_jointly(equation, x, state, **settings)

    def best_input(self) -> Tensor:
        """argmin |G x + (I - A)^-1 b - wanted|."""
        rest = (self.wanted - torch.linalg.solve(self.whole, self.bias)).mT
        return torch.linalg.lstsq(self.gain, rest).solution.mT


def l2_direction(gradient: Tensor) -> Tensor:
    # At first mu is 0, and so is the gradient.
    return gradient / gradient.norm(dim=1, keepdim=True).clamp(min=1e-300)


def to_ball(x: Tensor) -> Tensor:
    return x * (EPSILON / x.norm(dim=1, keepdim=True).clamp(min=EPSILON))


@pytest.fixture(scope="module")
def problem() -> Linear:
    return Linear()


def test_a_quadratic_cost_of_a_linear_equilibrium(problem: Linear) -> None:
    found = problem.solved(problem.quadratic, step_sizes=(0.1, 0.1), iterations=800)
    assert (found.x - problem.best_input()).abs().max() < 1e-12
    assert (found.state - problem.state(found.x)).abs().max() < 1e-12
    assert found.residuals.max() < 1e-12


def test_a_linear_cost_in_an_l2_ball(problem: Linear) -> None:
    step = 0.6 * EPSILON
    found = problem.solved(
        problem.linear,
        step_sizes=(step, step),
        iterations=100,
        direction=l2_direction,
        project=to_ball,
    )
    slope = problem.wanted @ problem.gain
    assert (found.x + EPSILON * l2_direction(slope)).abs().max() < 1e-12


def test_a_linear_cost_in_a_box_ends_in_its_corner(problem: Linear) -> None:
    found = problem.solved(
        problem.linear,
        step_sizes=(0.6 * EPSILON, 0.2 * EPSILON),
        iterations=100,
        direction=torch.sign,
        project=lambda x: x.clamp(-EPSILON, EPSILON),
    )
    assert torch.equal(found.x, -EPSILON * (problem.wanted @ problem.gain).sign())


def test_the_equations_of_karush_kuhn_and_tucker_hold(problem: Linear) -> None:
    found = problem.solved(
        problem.linear,
        step_sizes=(0.18, 0.18),
        iterations=100,
        direction=l2_direction,
        project=to_ball,
    )
    assert (found.state - problem.following(found.x, found.state)).abs().max() < 1e-12
    adjoint = torch.linalg.solve(problem.whole.mT, problem.wanted.mT).mT
    assert (found.adjoint - adjoint).abs().max() < 1e-12
    # On the sphere the gradient by x points straight inwards.
    to_x = found.adjoint @ problem.b
    assert (l2_direction(to_x) + found.x / EPSILON).abs().max() < 1e-12


def test_the_adjoint_of_a_tanh_equilibrium_is_that_of_an_exact_solve() -> None:
    with rng.isolated(1):
        net = DEQTiny(width=9, img_size=3, num_classes=4, limit=0.8).double()
    generator = rng.generator(2, "images")
    x = torch.rand(3, 1, 3, 3, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 3, 1])

    def equation(x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        following, logits = net(x, state)
        return following, -nn.functional.cross_entropy(logits, labels, reduction="none")

    found = solve_jointly(equation, x, net.rest(x), step_sizes=(0.0, 0.0), iterations=300)
    assert torch.equal(found.x, x)
    state = found.state
    assert (net.cell(state, net.inject(x)) - state).abs().max() < 1e-12
    slopes = torch.autograd.functional.jacobian(lambda z: equation(x, z)[1].sum(), state)
    for number in range(len(x)):
        weight = net.cell.state.weight.detach()
        inner = (1 - state[number] ** 2)[:, None] * weight
        exact = torch.linalg.solve((torch.eye(9) - inner).mT, slopes[number])
        assert (found.adjoint[number] - exact).abs().max() < 1e-12


@pytest.mark.parametrize("history", [1, 4])
def test_a_sample_is_solved_by_itself(problem: Linear, history: int) -> None:
    settings = {"step_sizes": (0.1, 0.1), "iterations": 30, "history": history}
    together = problem.solved(problem.quadratic, **settings)
    wanted = problem.wanted
    for number in range(SAMPLES):
        problem.wanted = wanted[[number] * SAMPLES]
        alone = problem.solved(problem.quadratic, **settings)
        assert (alone.x[0] - together.x[number]).abs().max() < 1e-9
    problem.wanted = wanted


def test_acceleration_finds_the_same_in_fewer_iterations(problem: Linear) -> None:
    gaps = {}
    for history in (1, 8):
        settings = {"step_sizes": (0.1, 0.1), "iterations": 60, "history": history}
        found = problem.solved(problem.quadratic, **settings)
        gaps[history] = (found.x - problem.best_input()).abs().max().item()
    assert gaps[1] > 1e-4
    assert gaps[8] < 1e-8


def test_the_step_falls_in_the_second_phase() -> None:
    taken: list[float] = []

    def equation(x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        taken.append(x.item())
        return 0.5 * state + x, state.sum(dim=1)

    def run(iterations: int) -> list[float]:
        taken.clear()
        start = torch.zeros(1, 1, dtype=torch.float64)
        settings = {"direction": torch.ones_like, "iterations": iterations}
        solve_jointly(equation, start, start, step_sizes=(0.6, 0.2), **settings)
        return [round(before - after, 9) for before, after in pairwise(taken)]

    assert run(40) == [0.6] * 39
    assert run(80) == [0.6] * 50 + [0.2] * 29
    assert run(100) == [0.6] * 63 + [0.2] * 36  # 5/8 of 100 is 62.5


def scripted(script: list[tuple[float, float]]) -> tuple[Solution, list[float]]:
    """One sample whose state changes, and whose costs come, as the script says; and its states."""
    calls: list[float] = []

    def equation(x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        change, cost = script[len(calls)]
        calls.append(state.item())
        # Neither depends on x or the state by its gradient: the adjoint stays 0.
        return (state + change / 0.8).detach() + 0 * (x + state), 0 * state.sum(dim=1) + cost

    start = torch.ones(1, 1, dtype=torch.float64)
    settings = {"step_sizes": (0.0, 0.0), "iterations": len(script)}
    return solve_jointly(equation, start, start, **settings), calls


def test_the_rule_of_what_is_kept() -> None:
    begin = [(0.1, 1.0)] * (FREE - 1) + [(0.2, 2.0)]  # the last free one, worse in both
    kept, states = scripted(begin)
    assert (kept.state.item(), kept.costs.item()) == (states[FREE - 1], 2.0)
    lower_residual, states = scripted([*begin, (0.05, 3.0)])
    assert lower_residual.state.item() == states[FREE]
    cheaper, states = scripted([*begin, (0.05, 3.0), (0.06, 2.5)])
    assert cheaper.state.item() == states[FREE + 1]
    too_far, states = scripted([*begin, (0.05, 3.0), (0.09, 0.5)])
    assert too_far.state.item() == states[FREE]
    neither, states = scripted([*begin, (0.05, 3.0), (0.06, 3.5)])
    assert neither.state.item() == states[FREE]
    broken, states = scripted([*begin, (0.05, 3.0), (0.01, math.nan)])
    assert broken.state.item() == states[FREE]


def test_what_is_never_finite_is_told() -> None:
    found, _ = scripted([(0.1, math.nan)] * 5)
    assert found.costs.isinf().all()
    assert found.residuals.isinf().all()
    assert found.x.item() == 1.0


@pytest.mark.parametrize("ball", [L2Ball, LinfBall])
def test_the_balls_of_the_suite_fit(ball: Callable[..., Any], problem: Linear) -> None:
    with rng.isolated(1):
        net = DEQTiny(width=8, img_size=4, num_classes=3)
    images = torch.rand(5, 1, 4, 4, generator=rng.generator(0, "images"))
    around = ball(images, EPSILON)

    def equation(x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        following, logits = net(x, state)
        return following, logits[:, 0]

    found = solve_jointly(
        equation,
        images,
        net.rest(images),
        step_sizes=(0.1, 0.1),
        iterations=20,
        direction=around.direction,
        project=around.project,
    )
    assert (around.distance(found.x) <= EPSILON * (1 + 1e-5)).all()
    assert found.x.min() >= 0
    assert found.x.max() <= 1
    assert (net(found.x)[:, 0] < net(images)[:, 0]).all()
