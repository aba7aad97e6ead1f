"""Corrections that look from elsewhere: SAM, S2-SAM, extrapolation."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from agc.conformance.correction_problem import Problem, classify
from agc.corrections.extragradient import Extragradient
from agc.corrections.none import NoCorrection
from agc.corrections.s2_sam import S2SAM
from agc.corrections.sam import SAM
from agc.datasets.shared.loader import Batch
from agc.methods.static import Static
from tests.support.agc_problems import mean_loss, partition, smooth_network
from tests.support.correction_problems import (
    Point,
    flat,
    follow,
    gradients,
    linear_loss,
    quadratic_loss,
    quadratics,
)

START = [1.0, -2.0, 0.5, 3.0, 0.0]


def step(model: nn.Module, correction: Any, batch: Any, loss_fn: Any) -> tuple[Tensor, Tensor]:
    """Where the gradient is taken, relative to the weights, and the gradient that is applied."""
    home = flat(model.parameters())
    model.zero_grad()
    with correction.point(batch, loss_fn):
        shift = flat(model.parameters()) - home
        loss_fn(model, batch).backward()
    assert torch.equal(flat(model.parameters()), home)
    correction.correct(batch, loss_fn)
    return shift, flat(p.grad for p in model.parameters())


def path(correction: Callable[[nn.Module], Any], epochs: int = 3, **settings: float) -> Tensor:
    model = smooth_network()
    optimizer = torch.optim.SGD(model.parameters(), **{"lr": 0.2, **settings})
    return follow(model, correction(model), partition(), mean_loss, optimizer, epochs)


@pytest.mark.parametrize("make", [SAM, S2SAM])
def test_a_radius_of_zero_is_plain_training(make: Any) -> None:
    momentum = {"momentum": 0.9}
    expected = path(NoCorrection, **momentum)
    assert torch.equal(path(lambda m: make(m, rho=0.0), **momentum), expected)
    assert not torch.equal(path(lambda m: make(m, rho=0.05), **momentum), expected)


@settings(max_examples=20)
@given(st.floats(1e-3, 10))
def test_sam_of_a_quadratic_is_the_closed_form(rho: float) -> None:
    (hessian, _), *_ = quadratics(common=True)
    batch = (hessian, torch.zeros(5, dtype=torch.float64))
    model, start = Point(START), torch.tensor(START, dtype=torch.float64)
    _, found = step(model, SAM(model, rho=rho), batch, quadratic_loss)
    slope = hessian @ start
    expected = hessian @ (start + rho * slope / slope.norm())
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("make", [SAM, S2SAM])
@pytest.mark.parametrize("rho", [0.05, 2.0])
def test_the_shift_has_the_length_of_the_radius_over_active_weights(make: Any, rho: float) -> None:
    model = smooth_network()
    sparse = Static(model, sparsity=0.6)
    correction = make(model, rho=rho)
    correction.attach(sparse)
    batches = partition()
    step(model, correction, batches[0], mean_loss)
    shift, applied = step(model, correction, batches[1], mean_loss)
    assert shift.norm().item() == pytest.approx(rho, rel=1e-9)
    active = flat(
        sparse.masks.get(n, torch.ones_like(p, dtype=torch.bool))
        for n, p in model.named_parameters()
    )
    assert (~active).sum() > 20
    assert not shift[~active].any()
    assert shift[active].any()
    assert applied[~active].any()  # growth may look at them


def test_the_shift_of_sam_is_along_the_present_gradient_that_of_s2_sam_along_the_last() -> None:
    batches, model = partition(), smooth_network()
    sam, single = SAM(model, rho=0.3), S2SAM(model, rho=0.3)
    raw = gradients(model, batches[:2], mean_loss)
    expected = [0.3 * row / row.norm() for row in raw]
    for batch, shift in zip(batches[:2], expected, strict=True):
        found, _ = step(model, sam, batch, mean_loss)
        torch.testing.assert_close(found, shift, rtol=0, atol=1e-12)
    first, applied = step(model, single, batches[0], mean_loss)
    assert not first.any()
    assert torch.equal(applied, raw[0])
    second, applied = step(model, single, batches[1], mean_loss)
    torch.testing.assert_close(second, expected[0], rtol=0, atol=1e-12)
    third, _ = step(model, single, batches[2], mean_loss)  # along the perturbed gradient
    torch.testing.assert_close(third, 0.3 * applied / applied.norm(), rtol=0, atol=1e-12)


def test_s2_sam_is_sam_where_the_gradient_never_changes() -> None:
    # The loss is linear, but the weights show where it was evaluated.
    batch = Batch(torch.tensor([3.0, 0.0, -4.0]).double(), torch.zeros(1))
    found = []
    for make in (SAM, S2SAM):
        model = Point([1.0, 2.0, 3.0])
        correction = make(model, rho=0.5)
        step(model, correction, batch, linear_loss)
        found.append(step(model, correction, batch, linear_loss))
    (shift, applied), (other_shift, other_applied) = found
    assert torch.equal(shift, other_shift)
    assert torch.equal(applied, other_applied)
    assert shift.tolist() == pytest.approx([0.3, 0.0, -0.4], abs=1e-12)


@pytest.mark.parametrize("name", ["sam", "s2-sam", "extragradient"])
def test_weights_come_back_to_the_bit_and_momentum_sees_only_the_gradient(name: str) -> None:
    problem = Problem(name)
    problem.epoch()
    home = flat(problem.model.parameters())
    with problem.correction.point(problem.batches[0], classify):
        assert not torch.equal(flat(problem.model.parameters()), home)
        classify(problem.model, problem.batches[0]).backward()
    problem.correction.correct(problem.batches[0], classify)
    assert torch.equal(flat(problem.model.parameters()), home)


@settings(max_examples=20)
@given(st.floats(0.1, 3), st.floats(0, 0.5), st.floats(0.01, 0.5))
def test_extrapolation_on_a_parabola_follows_its_recursion(
    curvature: float, extrapolation: float, rate: float
) -> None:
    batch = (curvature * torch.ones(1, 1).double(), torch.zeros(1).double())
    model = Point([1.0])
    correction = Extragradient(model, step_size=extrapolation)
    points = []
    for _ in range(8):
        home = model.weight.item()
        shift, applied = step(model, correction, batch, quadratic_loss)
        points.append(home + shift.item())
        assert applied.item() == pytest.approx(curvature * points[-1], rel=1e-12)
        with torch.no_grad():
            model.weight.sub_(rate * applied)
    assert points[0] == 1.0
    before = 0.0  # no gradient before the first step
    for now, following in pairwise(points):
        expected = (1 - (extrapolation + rate) * curvature) * now
        expected += extrapolation * curvature * before
        assert following == pytest.approx(expected, abs=1e-12)
        before = now


@pytest.mark.parametrize(("rate", "stable"), [(0.95, True), (1.05, False)])
def test_extrapolation_is_stable_up_to_its_boundary(rate: float, stable: bool) -> None:
    # Stable below γ h = 2 (1 - η̂ h): here h = 1 and η̂ = 1/2.
    batch = (torch.ones(1, 1).double(), torch.zeros(1).double())
    model = Point([1.0])
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    correction = Extragradient(model, step_size=0.5)
    end = follow(model, correction, [batch], quadratic_loss, optimizer, epochs=300)[-1]
    assert (end.abs().item() < 1e-3) is stable


def test_extrapolation_keeps_pruned_weights_at_zero() -> None:
    model, batches = smooth_network(), partition()
    sparse = Static(model, sparsity=0.6)
    correction = Extragradient(model, step_size=0.5)
    correction.attach(sparse)
    _, before = step(model, correction, batches[0], mean_loss)
    shift, _ = step(model, correction, batches[1], mean_loss)
    active = flat(
        sparse.masks.get(n, torch.ones_like(p, dtype=torch.bool))
        for n, p in model.named_parameters()
    )
    torch.testing.assert_close(shift, -0.5 * before * active, rtol=0, atol=1e-15)
    assert before[~active].any()


def test_extrapolation_of_length_zero_is_plain_training() -> None:
    found = path(lambda m: Extragradient(m, step_size=0.0), momentum=0.9)
    assert torch.equal(found, path(NoCorrection, momentum=0.9))
