"""Fixed points and their gradients, against what linear algebra and autograd say without torchdeq.

All in double precision, with calls enough that the rest of the iteration is below rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian
from torch.func import functional_call

from agc import rng
from agc.architectures.deq_tiny import DEQTiny, LinearCell
from agc.architectures.mdeq_small import MDEQSmall
from agc.architectures.shared.equilibrium import Equilibrium
from agc.architectures.shared.fixed_point import solve

CALLS = 400
"""0.95 to the power of it is 1e-9, and trained cells are faster; here norms are 0.9 and below."""


def tiny(calls: int = CALLS) -> Equilibrium:
    with rng.isolated(1):
        return DEQTiny(width=7, img_size=2, num_classes=3, calls=calls, limit=0.9).double()


def multiscale(calls: int = CALLS) -> Equilibrium:
    with rng.isolated(1):
        return MDEQSmall(widths=(2, 3), num_classes=3, calls=calls, limit=0.9).double()


NETWORKS = [tiny, multiscale]


def images(net: Equilibrium, count: int = 3) -> Tensor:
    side = 2 if isinstance(net, DEQTiny) else 4
    generator = rng.generator(0, "images")
    return torch.rand(count, 1, side, side, generator=generator, dtype=torch.float64)


def loss_at(net: Equilibrium, state: Tensor, x: Tensor) -> Tensor:
    labels = torch.arange(len(x)) % 3
    return nn.functional.cross_entropy(net.fc(net.features(state, x)), labels)


def solved_twice(net: Equilibrium, x: Tensor) -> dict[str, Tensor]:
    """Gradients by two solves with the explicit Jacobian of each image: Newton's method for the
    state, and the adjoint's linear equation.
    """
    states, adjoints = [], []
    for image in x.split(1):
        state = net.rest(image)
        injected = net.inject(image)

        def step(z: Tensor, injected: Tensor = injected) -> Tensor:
            return net.cell(z, injected)

        eye = torch.eye(state.shape[1], dtype=x.dtype)
        for _ in range(8):
            inner = jacobian(step, state, vectorize=True)[0, :, 0]
            state = state + torch.linalg.solve(eye - inner, (step(state) - state).mT).mT
        states.append(state.detach())
    at = torch.cat(states).requires_grad_(True)
    (slope,) = torch.autograd.grad(loss_at(net, at, x), at)
    for number, image in enumerate(x.split(1)):
        one = at[number : number + 1]
        inner = jacobian(lambda z, i=image: net.cell(z, net.inject(i)), one, vectorize=True)
        matrix = torch.eye(at.shape[1], dtype=x.dtype) - inner[0, :, 0].mT
        adjoints.append(torch.linalg.solve(matrix, slope[number]))
    x = x.clone().requires_grad_(True)
    parameters = dict(net.named_parameters())
    through = (torch.stack(adjoints) * net.cell(at.detach(), net.inject(x))).sum()
    total = through + loss_at(net, at.detach(), x)
    wanted = [*parameters.values(), x]
    found = torch.autograd.grad(total, wanted)
    return dict(zip([*parameters, "images"], found, strict=True))


def implicit(net: Equilibrium, x: Tensor) -> dict[str, Tensor]:
    x = x.clone().requires_grad_(True)
    loss = loss_at(net, net.forward_features(x), x)
    wanted = [*net.parameters(), x]
    names = [*dict(net.named_parameters()), "images"]
    return dict(zip(names, torch.autograd.grad(loss, wanted), strict=True))


def largest_gap(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max((one[name] - other[name]).abs().max().item() for name in one)


@pytest.mark.parametrize("make", NETWORKS)
def test_gradients_are_those_of_two_exact_solves(make: Callable[[], Equilibrium]) -> None:
    net = make()
    exact = solved_twice(net, images(net))
    assert min(gradient.abs().max().item() for gradient in exact.values()) > 1e-4
    assert largest_gap(implicit(net, images(net)), exact) < 1e-12


@pytest.mark.parametrize("make", NETWORKS)
def test_gradients_are_those_of_the_iteration_itself(make: Callable[[], Equilibrium]) -> None:
    net, x = make(), images(make()).requires_grad_(True)
    state = net.rest(x)
    for _ in range(CALLS):
        state = net.cell(state, net.inject(x))
    unrolled = torch.autograd.grad(loss_at(net, state, x), [*net.parameters(), x])
    names = [*dict(net.named_parameters()), "images"]
    assert largest_gap(implicit(net, x.detach()), dict(zip(names, unrolled, strict=True))) < 1e-12


def test_gradients_are_finite_differences() -> None:
    net, x, step = tiny(), images(tiny()), 1e-6
    weight, gradient = net.cell.state.weight, implicit(net, x)["cell.state.weight"]
    for place in ((0, 0), (3, 5), (6, 2)):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[place] += sign * step
                values.append(loss_at(net, net.forward_features(x), x).item())
                weight[place] -= sign * step
        # The error of a central difference is of the order of step² and of rounding / step.
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(
            gradient[place].item(), abs=1e-9
        )


def test_a_linear_cell_ends_in_its_closed_form() -> None:
    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.state = nn.Linear(5, 5, bias=False, dtype=torch.float64)
            with torch.no_grad():
                self.state.weight.mul_(0.5 / torch.linalg.matrix_norm(self.state.weight, 2))

        def forward(self, state: Tensor, injected: Tensor) -> Tensor:
            return self.state(state) + injected

    with rng.isolated(2):
        cell, injected = Linear(), torch.randn(4, 5, dtype=torch.float64)
    state = solve(cell, torch.zeros_like(injected), injected, 60)
    closed = torch.linalg.solve(torch.eye(5) - cell.state.weight, injected.mT).mT
    assert (state - closed).abs().max() < 1e-12


def test_as_many_calls_and_products_as_are_said() -> None:
    calls, products = [], []

    class Counted(LinearCell):
        def forward(self, state: Tensor, injected: Tensor) -> Tensor:
            following = super().forward(state, injected)
            calls.append(1)
            if following.requires_grad:
                following.register_hook(lambda gradient: products.append(1))
            return following

    net = tiny(calls=9)
    cell = Counted(7).double()
    cell.load_state_dict(net.cell.state_dict())
    net.cell = cell
    with torch.no_grad():
        net(images(net))
    assert len(calls) == 9
    loss = net(images(net)).sum()
    assert (len(calls), len(products)) == (18, 0)
    loss.backward()
    assert (len(calls), len(products)) == (19, 9)


def test_gradients_are_there_in_evaluation_mode_too() -> None:
    net = tiny()
    training = implicit(net, images(net))
    assert largest_gap(implicit(net.eval(), images(net)), training) == 0


def test_two_passes_before_their_backward_passes_do_not_meet() -> None:
    net, x = tiny(), images(tiny())
    first, last = net(x), net(1 - x)
    weight = net.cell.state.weight
    together = torch.autograd.grad(first.logsumexp(1).sum() + last.logsumexp(1).sum(), weight)[0]
    apart = [torch.autograd.grad(net(y).logsumexp(1).sum(), weight)[0] for y in (x, 1 - x)]
    assert (together - sum(apart)).abs().max() < 1e-14


def test_the_backward_pass_has_the_weights_of_the_forward_pass() -> None:
    net, x = tiny(), images(tiny())
    halved = {name: (weight / 2).detach() for name, weight in net.named_parameters()}
    for weight in halved.values():
        weight.requires_grad_(True)
    loss = functional_call(net, halved, (x,)).logsumexp(1).sum()
    found = torch.autograd.grad(loss, list(halved.values()))  # the module has its own again
    with torch.no_grad():
        for weight in net.parameters():
            weight.div_(2)
    expected = torch.autograd.grad(net(x).logsumexp(1).sum(), list(net.parameters()))
    assert max((a - b).abs().max().item() for a, b in zip(found, expected, strict=True)) < 1e-14


def test_there_is_no_second_derivative() -> None:
    net, x = tiny(), images(tiny()).requires_grad_(True)
    (slope,) = torch.autograd.grad(net(x).logsumexp(1).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
