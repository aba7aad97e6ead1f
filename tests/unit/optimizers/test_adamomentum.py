"""AdaMomentum against the authors' numbers, closed forms, and what its counts are for."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from agc import rng
from agc.errors import UserError
from agc.optimizers.adamomentum import AdaMomentum
from agc.registry import OPTIMIZERS

START = (1.0, -0.5, 0.25)
GRADIENTS = (
    (0.1, -2.0, 3e-4),
    (0.3, 1.0, -1e-4),
    (-0.2, 0.5, 2e-4),
    (0.05, -0.7, 0.0),
    (0.4, 0.2, 1e-3),
)
# Weights after these gradients with lr 0.01, of the authors' class (wyzjack/AdaM3, e715cde).
TRACES = [
    (
        {"eps": 1e-16},
        (0.7403090863219118, -0.32984385873616695, -0.013517288342462394),
    ),
    (
        {"eps": 1e-8, "weight_decay": 5e-4, "decoupled": False},
        (0.745755863624964, -0.32982932706125206, 0.24510492731981723),
    ),
    (
        {"eps": 1e-16, "weight_decay": 0.05},
        (0.7381534844770807, -0.32885404980723165, -0.013825364531636963),
    ),
]


def run(gradients: list[Tensor], start: Tensor, **options: object) -> list[Tensor]:
    """The weights before the first step and after each."""
    weight = torch.nn.Parameter(start.clone())
    optimizer = AdaMomentum([weight], **options)
    found = [weight.detach().clone()]
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
        found.append(weight.detach().clone())
    return found


@pytest.mark.parametrize("counts", ["weight", "tensor"])
@pytest.mark.parametrize(("options", "expected"), TRACES)
def test_the_steps_are_those_of_the_authors(
    options: dict[str, object], expected: tuple[float, ...], counts: str
) -> None:
    gradients = [torch.tensor(g, dtype=torch.float64) for g in GRADIENTS]
    start = torch.tensor(START, dtype=torch.float64)
    last = run(gradients, start, lr=0.01, counts=counts, **options)[-1]
    torch.testing.assert_close(
        last, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12
    )


def test_the_first_step_is_ten_learning_rates() -> None:
    gradient = torch.tensor([3.0, -0.2], dtype=torch.float64)
    before, after = run([gradient], torch.zeros(2, dtype=torch.float64), lr=0.01)
    assert (after - before).tolist() == pytest.approx([-0.1, 0.1], rel=1e-9)


def test_the_square_of_noise_is_a_nineteenth_of_adams() -> None:
    """(1 - β₁) / (1 + β₁), the variance of an average of independent noise."""
    generator = rng.generator(0, "noise")
    weight = torch.nn.Parameter(torch.zeros(200, dtype=torch.float64))
    optimizer = AdaMomentum([weight], lr=1e-3)
    adam = torch.zeros(200, dtype=torch.float64)
    for _ in range(3000):
        weight.grad = torch.randn(200, generator=generator, dtype=torch.float64)
        adam.mul_(0.999).addcmul_(weight.grad, weight.grad, value=0.001)
        optimizer.step()
    ratio = optimizer.state[weight]["exp_avg_sq"].mean() / adam.mean()
    assert float(ratio) == pytest.approx(1 / 19, rel=0.03)


def test_with_small_gradients_it_is_sgd_with_momentum() -> None:
    generator = rng.generator(0, "small gradients")
    gradients = [1e-9 * torch.randn(5, generator=generator, dtype=torch.float64) for _ in range(9)]
    # Bias corrections are 1 to the last bit once the counts are high.
    weight = torch.nn.Parameter(torch.ones(5, dtype=torch.float64))
    ours = AdaMomentum([weight], lr=1e-3, eps=1e-8)
    weight.grad = torch.zeros_like(weight)
    ours.step()
    state = ours.state[weight]
    state["step"].fill_(1e6)
    state["exp_avg_sq"].fill_(1e-8 / (1 - 0.999))
    other = torch.nn.Parameter(weight.detach().clone())
    factor = (1 - 0.9) * math.sqrt((1 - 0.999) / 1e-8)
    sgd = torch.optim.SGD([other], lr=1e-3 * factor, momentum=0.9)
    for gradient in gradients:
        weight.grad, other.grad = gradient.clone(), gradient.clone()
        ours.step()
        sgd.step()
    torch.testing.assert_close(weight - 1, other - 1, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("counts", "first"), [("weight", 10.0), ("tensor", 25.2)])
def test_a_regrown_weight_starts_like_any_other(counts: str, first: float) -> None:
    """After 1,000 steps pruned; masks zero what the optimizer keeps in the weight's shape."""
    weight = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = AdaMomentum([weight], lr=1.0, counts=counts)
    mask = torch.tensor([True, False])
    for _ in range(1000):
        weight.grad = torch.ones(2, dtype=torch.float64) * mask
        optimizer.step()
        for tensor in (weight.data, *optimizer.state[weight].values()):
            if tensor.shape == weight.shape:
                tensor.mul_(mask)
    before = weight.detach().clone()
    weight.grad = torch.ones(2, dtype=torch.float64)
    optimizer.step()
    assert float((before - weight.detach())[1]) == pytest.approx(first, rel=2e-3)


def test_it_counts_past_what_bfloat16_can() -> None:
    weight = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    optimizer = AdaMomentum([weight], lr=1e-6)
    for _ in range(300):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    again = AdaMomentum([weight], lr=1e-6)
    again.load_state_dict(optimizer.state_dict())
    assert again.state[weight]["step"].tolist() == [300.0] * 3


@pytest.mark.parametrize("eps", [0, -1e-8])
def test_an_eps_that_divides_by_zero_is_refused(eps: float) -> None:
    with pytest.raises(ValueError, match="eps"):
        AdaMomentum([torch.nn.Parameter(torch.ones(1))], eps=eps)
    with pytest.raises(UserError, match="option eps"):
        OPTIMIZERS.resolve("adamomentum", {"eps": eps})
