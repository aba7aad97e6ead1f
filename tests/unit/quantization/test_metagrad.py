"""MetaGrad: what its hypernetwork learns, and that without one it is stochastic rounding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agc import RigL, Step
from agc.errors import UserError
from agc.grids.cell import make_cell
from agc.quantization.base import Quantization
from agc.quantization.metagrad import MetaGrad
from agc.quantization.static import StaticBits

FIELDS = {"dataset": "digits", "architecture": "resnet8"}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 20), nn.Tanh(), nn.Linear(20, 4)).double()


def loss_fn(model: nn.Module, batch: Tensor) -> Tensor:
    return (model(batch) - batch[:, :4]).square().mean()


class Problem:
    """A sparse network, its quantization and SGD with momentum."""

    def __init__(self, kind: type[Quantization], nesterov: bool = False, **options: Any) -> None:
        self.model = network()
        self.quantization = kind(self.model, keep_float=(), **options)
        if getattr(self.quantization, "hyper", None) is not None:
            self.quantization.hyper.double()
        momentum = {"momentum": 0.9, "nesterov": nesterov} if nesterov else {}
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.3, **momentum)
        self.sparse = RigL(
            self.model, self.optimizer, sparsity=0.5, total_steps=100, update_interval=4
        )
        parts = (self.sparse, None, self.quantization)
        self.step = Step(self.model, self.optimizer, loss_fn, *parts)

    def run(self, steps: int, first: int = 0) -> list[Tensor]:
        for number in range(first, first + steps):
            self.step(drawn(8, 12, seed=number))
        return [p.detach().clone() for p in self.model.parameters()]


def scattered(problem: Problem) -> None:
    """Give the hypernetwork weights at which it does something."""
    draws = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in problem.quantization.hyper.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=draws))


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("form", ["multiply", "add", "gain"])
def test_the_meta_gradient_is_that_of_the_next_loss(form: str, nesterov: bool) -> None:
    """Against differences of the loss after a step that is made again with another φ."""
    problem = Problem(MetaGrad, nesterov, form=form, bits=3)
    problem.run(2)
    scattered(problem)
    batch, other = drawn(8, 12, seed=8), drawn(8, 12, seed=9)
    quantization, optimizer = problem.quantization, problem.optimizer
    home = [p.detach().clone() for p in problem.model.parameters()]
    kept = [{k: v.clone() for k, v in s.items()} for s in optimizer.state.values()]

    def next_loss() -> Tensor:
        """Make the step from the same place, and take the loss of the next batch."""
        with torch.no_grad():
            for parameter, value in zip(problem.model.parameters(), home, strict=True):
                parameter.copy_(value)
            for slots, value in zip(optimizer.state.values(), kept, strict=True):
                for key in slots:
                    slots[key].copy_(value[key])
        optimizer.zero_grad()
        loss_fn(problem.model, batch).backward()
        quantization.round()
        optimizer.step()
        problem.sparse.rest()
        return loss_fn(problem.model, other)

    optimizer.zero_grad()
    loss = next_loss()
    optimizer.zero_grad()
    loss.backward()
    found = quantization.meta_gradients()
    for parameter, gradient in zip(quantization.hyper.parameters(), found, strict=True):
        direction = drawn(*parameter.shape, seed=3)
        ends = []
        for side in (1, -1):
            with torch.no_grad():
                parameter.add_(direction, alpha=side * 1e-5)
            ends.append(next_loss().item())
            with torch.no_grad():
                parameter.sub_(direction, alpha=side * 1e-5)
        slope = (ends[0] - ends[1]) / 2e-5
        assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-4, abs=1e-9)


def test_without_a_hypernetwork_it_is_stochastic_rounding_to_the_bit() -> None:
    plain = Problem(StaticBits, forward=32, backward=32, weight_gradients=3).run(6)
    for one, other in zip(Problem(MetaGrad, form="none", bits=3).run(6), plain, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("form", ["multiply", "add", "gain"])
def test_a_hypernetwork_begins_as_stochastic_rounding_to_the_bit(form: str) -> None:
    plain = Problem(MetaGrad, form="none", bits=3).run(1)
    for one, other in zip(Problem(MetaGrad, form=form, bits=3).run(1), plain, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("form", ["multiply", "add"])
def test_what_it_adds_is_bounded_and_active_weights_alone_get_it(form: str) -> None:
    problem = Problem(MetaGrad, form=form, bits=3)
    problem.run(1)
    scattered(problem)
    with torch.no_grad():
        problem.quantization.hyper.out.weight.mul_(100)
    problem.run(1, first=1)
    taken = problem.quantization.taken
    bound = taken["gradient"].abs() if form == "multiply" else taken["scale"]
    refined = problem.quantization.gathered(
        {n: layer.weight.grad for n, layer in problem.quantization.layers.items()}
    )
    assert ((refined - taken["gradient"]).abs() <= bound * (1 + 1e-9)).all()
    assert len(refined) == sum(problem.sparse.active().values())
    for name, mask in problem.sparse.masks.items():
        assert not problem.quantization.layers[name].weight.grad[~mask].any()


def test_a_gradient_in_channels_last_is_refined_where_it_lies() -> None:
    """Each coordinate gets its own refined number, as in the plain format."""
    found = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 8, 3)).to(memory_format=memory_format)
        quantization = MetaGrad(model, keep_float=(), form="add", bits=3)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        sparse = RigL(model, optimizer, sparsity=0.5, total_steps=100)
        quantization.attach(sparse, optimizer)
        with torch.no_grad():
            quantization.hyper.out.bias.fill_(0.3)
        weight, mask = model[0].weight, sparse.masks["0.weight"]
        drawn_gradient = drawn(*weight.shape).float().mul(mask)
        weight.grad = drawn_gradient.clone(memory_format=memory_format)
        assert weight.grad.is_contiguous(memory_format=memory_format)
        quantization.round()
        found.append(weight.grad.contiguous())
        assert (weight.grad[mask] != drawn_gradient[mask]).any()
        assert not weight.grad[~mask].any()
    assert torch.equal(*found)


def test_its_cost_falls_with_the_density() -> None:
    problem = Problem(MetaGrad, hidden=16)
    sizes = {name: mask.numel() for name, mask in problem.sparse.masks.items()}
    dense = problem.quantization.step_flops(sizes)
    assert dense == 4 * 2 * (2 * 16 + 16) * (12 * 20 + 20 * 4)
    sparse = problem.quantization.step_flops(problem.sparse.active())
    assert sparse == pytest.approx(dense / 2, rel=0.01)


def test_adding_revives_coordinates_that_rounding_has_silenced() -> None:
    """A quadratic whose curvatures differ: two bits towards 0 leave all but the steepest alone."""

    def ended(form: str) -> float:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(24, 1, bias=False))
        curvature = torch.logspace(0, -2, 24)
        quantization = MetaGrad(
            model, keep_float=(), form=form, bits=2, rounding="floor", meta_lr=0.01
        )
        optimizer = torch.optim.SGD(model.parameters(), lr=0.2)

        def quadratic(model: nn.Module, batch: None) -> Tensor:
            return (curvature * (model[0].weight - 3).square()).sum()

        step = Step(model, optimizer, quadratic, None, None, quantization)
        return [step(None).item() for _ in range(300)][-1]

    assert ended("add") < ended("none") / 2


def test_an_update_of_the_topology_forgets_the_step_before() -> None:
    problem = Problem(MetaGrad)
    problem.run(3)
    assert problem.quantization.taken
    problem.run(1, first=3)
    assert problem.step.changed
    assert not problem.quantization.taken
    problem.run(2, first=4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"optimizer": {"name": "adamw"}}}, "must be 'sgd', got 'adamw'"),
        ({"training": {"clip_norm": 1.0}}, "clip_norm would change the refined gradient"),
        ({"training": {"devices": 2}}, "one device"),
        ({"correction": "sam"}, "correction 'sam' leaves is not that of the batch's"),
        ({"correction": "storm"}, "correction 'storm' leaves"),
        ({"method": "top-kast", "sparsity": 0.9}, "'top-kast' trains weights"),
        ({"objective": "free-at"}, "'free-at' changes with each gradient"),
    ],
)
def test_what_moves_weights_otherwise_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_cell({**FIELDS, "quantization": "metagrad", **changes})
