"""SGD on a linear net: exact where a network is linear, by closed forms where noise is."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from agc import rng
from agc.dynamics.features import linearise, unprojected
from agc.dynamics.linear import Descent, LinearModel, course, cross_entropy, squared_error
from agc.dynamics.steps import steps_to

STEPS = 60


def data(count: int = 24, features: int = 6, classes: int = 3) -> tuple[Tensor, Tensor]:
    draw = rng.generator(0, "data")
    x = torch.randn(count, features, generator=draw, dtype=torch.float64)
    return x, torch.randn(count, classes, generator=draw, dtype=torch.float64)


def network(features: int = 6, classes: int = 3) -> nn.Module:
    with rng.isolated(1):
        return nn.Linear(features, classes).double()


def linear(model: nn.Module, x: Tensor) -> LinearModel:
    count = sum(weight.numel() for weight in model.parameters())
    return linearise(model, x, unprojected(torch.ones(count, dtype=torch.bool)), len(x))


def trained(model: nn.Module, x: Tensor, loss_fn, rates: list[float], **options: object) -> Tensor:
    """Losses before each step of torch's SGD on the network itself."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rates[0], **options)
    losses = []
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss = loss_fn(model(x))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses, dtype=torch.float64)


@pytest.mark.parametrize("decay", [0.0, 0.05])
@pytest.mark.parametrize(
    ("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)], ids=str
)
@pytest.mark.parametrize("loss", ["squares", "classes"])
def test_the_course_of_a_linear_network_is_exact(
    loss: str, momentum: float, nesterov: bool, decay: float
) -> None:
    x, targets = data()
    labels = targets.argmax(dim=1)
    rates = [0.05] * (STEPS // 2) + [0.01] * (STEPS // 2)
    if loss == "squares":
        derivatives = squared_error(targets)

        def loss_fn(outputs: Tensor) -> Tensor:
            return (outputs - targets).square().sum(dim=1).mean() / 2
    else:
        derivatives = cross_entropy(labels, smoothing=0.1)

        def loss_fn(outputs: Tensor) -> Tensor:
            return nn.functional.cross_entropy(outputs, labels, label_smoothing=0.1)

    options = {"momentum": momentum, "nesterov": nesterov, "weight_decay": decay}
    found = course(linear(network(), x), derivatives, rates, Descent(**options))
    expected = trained(network(), x, loss_fn, rates, **options)
    assert found.shape == (STEPS, 1)
    torch.testing.assert_close(found[:, 0], expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("loss", ["squares", "classes"])
def test_half_the_learning_rate_takes_twice_the_time(loss: str) -> None:
    x, targets = data()
    model = linear(network(), x)
    derivatives = (
        squared_error(targets) if loss == "squares" else cross_entropy(targets.argmax(dim=1))
    )
    rate, count = 2e-3, 1500
    times = []
    for factor in (1, 2):
        losses = course(model, derivatives, [rate / factor] * (factor * count), Descent())[:, 0]
        # Losses of single steps: a curve whose points lie in the middle of epochs of one step.
        target = 0.9 * losses[0].item()
        found = steps_to(target, losses[0].item(), losses.tolist(), 1)
        assert found is not None
        times.append(found)
    # Euler steps of size ηλ differ from the flow by their square.
    assert times[1] / times[0] == pytest.approx(2, rel=0.01)


def test_the_noise_has_the_variance_of_a_batch_s_gradient() -> None:
    # One weight, whose output is itself; targets of variance 1 around 0. Then the weight follows
    # w' = (1 - η) w - η ν with Var ν = noise, whose stationary variance is η noise / (2 - η).
    count, rate, paths = 64, 0.5, 4000
    targets = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(count // 2)[:, None]
    ones = torch.ones(count, 1, 1, dtype=torch.float64)
    model = LinearModel(torch.zeros(count, 1, dtype=torch.float64), ones, torch.zeros(1).double())
    descent = Descent(batch=8, total=64)
    assert descent.noise == pytest.approx(1 / 8 - 1 / 64)
    draw = rng.generator(0, "noise")
    losses = course(model, squared_error(targets), [rate] * 30, descent, draw, paths)[-1]
    # Half of the spread of the targets, and half of the weight's variance.
    variance = rate * descent.noise / (2 - rate)
    expected = (1 + variance) / 2
    error = (losses - 0.5).std().item() / math.sqrt(paths)
    assert losses.mean().item() == pytest.approx(expected, abs=5 * error)
    assert 5 * error < 0.2 * variance


def test_noise_is_drawn_from_its_generator_alone_and_none_without_a_batch() -> None:
    x, targets = data()
    model, derivatives = linear(network(), x), squared_error(targets)
    noisy = Descent(batch=4, total=24)
    before = torch.get_rng_state()
    runs = [
        course(model, derivatives, [0.05] * 5, noisy, rng.generator(seed, "noise"), 2)
        for seed in (1, 1, 2)
    ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert not torch.equal(runs[0][:, 0], runs[0][:, 1])
    quiet = [
        course(model, derivatives, [0.05] * 5, d) for d in (Descent(), Descent(batch=24, total=24))
    ]
    assert torch.equal(*quiet)
    assert torch.equal(torch.get_rng_state(), before)
