"""Corrections by the step before: SARAH, STORM and MARS."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agc.corrections.mars import MARS
from agc.corrections.none import NoCorrection
from agc.corrections.sarah import SARAH
from agc.corrections.storm import STORM
from tests.support.agc_problems import mean_loss, move, partition, smooth_network
from tests.support.correction_problems import (
    Point,
    flat,
    follow,
    gradient,
    place,
    quadratic_loss,
    quadratics,
)

START = [1.0, -2.0, 0.5, 3.0, 0.0]


def path(
    correction: Any, batches: Any = None, lr: float = 0.2, epochs: int = 3, **momentum: float
) -> Tensor:
    """Weights of the smooth network after each step; ``correction`` is a class or a function."""
    model = smooth_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, **momentum)
    batches = partition() if batches is None else batches
    return follow(model, correction(model), batches, mean_loss, optimizer, epochs)


def test_sarah_is_exact_at_every_step_where_the_hessian_is_common() -> None:
    batches, model = quadratics(common=True), Point(START)
    correction = SARAH(model)
    correction.begin_epoch(batches, quadratic_loss)
    for step in range(20):
        batch = batches[step % 4]  # whatever is drawn
        full = torch.stack([gradient(model, b, quadratic_loss) for b in batches]).mean(dim=0)
        found = gradient(model, batch, quadratic_loss, correction)
        torch.testing.assert_close(found, full, rtol=0, atol=1e-13)
        place(model, flat(model.parameters()) - 0.1 * found)


def test_sarah_of_full_batches_telescopes_to_their_gradient() -> None:
    batches = partition(sizes=(20,))
    found, expected = path(SARAH, batches, epochs=6), path(NoCorrection, batches, epochs=6)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)


def test_sarah_follows_its_recursion_and_restarts_from_the_full_gradient() -> None:
    batches, model = partition(), smooth_network()
    correction = SARAH(model)
    for _ in range(2):
        correction.begin_epoch(batches, mean_loss)
        before = flat(model.parameters())
        estimate = torch.stack([gradient(model, b, mean_loss) for b in batches]).mean(dim=0)
        for batch in batches:
            here = flat(model.parameters())
            place(model, before)
            older = gradient(model, batch, mean_loss)
            place(model, here)
            estimate = gradient(model, batch, mean_loss) - older + estimate
            found = gradient(model, batch, mean_loss, correction)
            torch.testing.assert_close(found, estimate, rtol=0, atol=1e-14)
            before = here
            place(model, here - 0.5 * found)


def test_storm_at_1_is_sgd() -> None:
    momentum = {"momentum": 0.9}
    found, expected = path(lambda m: STORM(m, a=1.0), **momentum), path(NoCorrection, **momentum)
    assert torch.equal(found, expected)


def test_storm_at_0_is_sarah_without_restarts() -> None:
    batches = partition()

    class Once(SARAH):
        """Its full gradient is that of the first batch, and it never restarts."""

        def begin_epoch(self, _: Any, loss_fn: Any) -> None:
            if self.reference is None:
                super().begin_epoch(batches[:1], loss_fn)

    found, expected = path(lambda m: STORM(m, a=0.0)), path(Once)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
    assert (expected - path(SARAH)).abs().max() > 1e-3


def test_the_error_of_storm_shrinks_by_its_recursion() -> None:
    # With a common Hessian: e = (1 - a) e' + a (g - full gradient).
    batches, model, a = quadratics(common=True), Point(START), 0.3
    correction, error = STORM(model, a=a), None
    for step in range(15):
        batch = batches[(step * 5) % 6]
        full = torch.stack([gradient(model, b, quadratic_loss) for b in batches]).mean(dim=0)
        noise = gradient(model, batch, quadratic_loss) - full
        found = gradient(model, batch, quadratic_loss, correction)
        error = noise if error is None else (1 - a) * error + a * noise
        torch.testing.assert_close(found - full, error, rtol=0, atol=1e-13)
        place(model, flat(model.parameters()) - 0.1 * found)


def test_both_gradients_of_a_recursion_are_of_the_present_batch() -> None:
    batches = partition()
    for make in (SARAH, STORM, lambda m: MARS(m, exact=True)):
        model, seen = smooth_network(), []

        def watched(network: nn.Module, batch: Any, seen: list[Any] = seen) -> Tensor:
            seen.append(id(batch))
            return mean_loss(network, batch)

        correction = make(model)
        correction.begin_epoch(batches, watched)
        gradient(model, batches[0], watched, correction)
        seen.clear()
        gradient(model, batches[1], watched, correction)
        assert seen == [id(batches[1])] * 2


def test_the_adaptive_a_of_storm_by_hand() -> None:
    # Linear losses: the gradient is the batch, wherever the weight is.
    slopes, k, w, c = [2.0, -(19**0.5), 37**0.5, 0.5], 0.5, 4.0, 2.0
    model = Point([0.0])

    def loss(network: nn.Module, slope: float) -> Tensor:
        return network.weight.sum() * slope

    correction = STORM(model, a=None, k=k, w=w, c=c)
    squares, a, estimate = 0.0, 1.0, 0.0
    seen = []
    for slope in slopes:
        estimate = slope + (1 - a) * (estimate - slope)
        found = gradient(model, slope, loss, correction).item()
        assert found == pytest.approx(estimate, abs=1e-14)
        squares += slope**2
        a = min(1.0, c * (k / (w + squares) ** (1 / 3)) ** 2)
        assert correction.diagnostics()["coefficient"] == pytest.approx(1 - a, abs=1e-14)
        seen.append(a)
    # w and the squares sum up to 8, 27 and 64; a is half of the inverse of their root's square.
    assert seen[:3] == pytest.approx([1 / 8, 1 / 18, 1 / 32], abs=1e-14)


def test_the_adaptive_a_of_storm_is_at_most_1() -> None:
    model = Point([0.0])
    correction = STORM(model, a=None, c=1e6)
    gradient(model, (torch.eye(1).double(), torch.ones(1).double()), quadratic_loss, correction)
    assert correction.diagnostics()["coefficient"] == 0.0


@pytest.mark.parametrize("beta", [0.5, 0.9])
def test_the_moving_average_of_exact_mars_at_1_is_storms_momentum(beta: float) -> None:
    # Torch's damped momentum starts at the first gradient, as STORM does.
    storm = path(lambda m: STORM(m, a=1 - beta))
    mars = path(
        lambda m: MARS(m, gamma=1.0, beta=beta, exact=True, clip=None),
        momentum=beta,
        dampening=beta,
    )
    torch.testing.assert_close(mars, storm, rtol=0, atol=1e-13)
    approximate = path(
        lambda m: MARS(m, gamma=1.0, beta=beta, exact=False, clip=None),
        momentum=beta,
        dampening=beta,
    )
    assert (approximate - storm).abs().max() > 1e-3


def test_approximate_mars_uses_the_raw_gradient_of_the_step_before() -> None:
    batches, model = partition(), smooth_network()
    correction = MARS(model, gamma=0.1, beta=0.9, exact=False, clip=None)
    before = None
    for batch in batches:
        raw = gradient(model, batch, mean_loss)
        expected = raw if before is None else raw + 0.1 * 0.9 / 0.1 * (raw - before)
        found = gradient(model, batch, mean_loss, correction)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)
        before = raw
        move(model, 0.1)


@pytest.mark.parametrize("limit", [1e-3, 1e3])
def test_mars_clips_each_tensor_by_its_norm(limit: float) -> None:
    batch, model = partition()[0], smooth_network()
    free, clipped = MARS(model, clip=None), MARS(model, clip=limit)
    gradient(model, batch, mean_loss, free)
    before = [p.grad.clone() for p in model.parameters()]
    gradient(model, batch, mean_loss, clipped)
    for parameter, raw in zip(model.parameters(), before, strict=True):
        expected = raw * min(1.0, limit / raw.norm().item())
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-8, atol=0)


@pytest.mark.parametrize("make", [SARAH, lambda m: STORM(m, a=0.1)])
def test_after_an_update_of_the_topology_grown_weights_have_no_past(make: Any) -> None:
    model, batches = Point(START), quadratics(common=True)
    old = torch.tensor([True, True, False, True, False])
    new = torch.tensor([True, False, True, True, False])
    with torch.no_grad():
        model.weight.mul_(old)
    correction = make(model)
    correction.begin_epoch(batches, quadratic_loss)
    gradient(model, batches[0], quadratic_loss, correction)
    before = correction.mean["weight"].clone()
    correction.on_topology_update({"weight": new})
    kept = torch.tensor([True, False, False, True, False])
    assert torch.equal(correction.mean["weight"], before * kept)
    assert torch.equal(correction.reference.parameters["weight"] != 0, kept)
