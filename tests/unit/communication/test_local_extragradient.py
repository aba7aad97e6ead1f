"""Extrapolation by each worker's own last gradient: points, scales, and where it is stable."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agc import AllReduce, Extragradient, Static, Step
from agc.communication.local_extragradient import LocalExtragradient
from agc.conformance.optimizers import batches, loss_fn, network
from agc.optimizers.base import make_optimizer

DATA = batches()


class Line(nn.Module):
    """One weight; a row of a batch is the second derivative of a worker's parabola."""

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, curvatures: Tensor) -> Tensor:
        return 0.5 * curvatures * self.x.square()


def mean_of(model: nn.Module, batch: Any) -> Tensor:
    return model(batch).mean()


def growth(curvatures: list[float], lr: float, length: float) -> float:
    """Factor by which the weight grows in a step, in the long run."""
    model = Line()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    talk = LocalExtragradient(model, optimizer, workers=len(curvatures), share=length / lr)
    step = Step(model, optimizer, mean_of, communication=talk)
    rows = torch.tensor(curvatures, dtype=torch.float64)
    for _ in range(200):
        step(rows)
    start = model.x.abs().item()
    for _ in range(200):
        step(rows)
    return (model.x.abs().item() / start) ** (1 / 200)


def radius(curvatures: list[float], lr: float, length: float) -> float:
    """Spectral radius of the map of the weight and the workers' last gradients."""
    count = len(curvatures)
    h = torch.tensor(curvatures, dtype=torch.float64)
    matrix = torch.zeros(count + 1, count + 1, dtype=torch.float64)
    matrix[1:, 0], matrix[1:, 1:] = h, torch.diag(-length * h)
    matrix[0] = -lr * matrix[1:].mean(dim=0)
    matrix[0, 0] += 1
    return float(torch.linalg.eigvals(matrix).abs().max())


@pytest.mark.parametrize("curvatures", [[1.0, 1.0], [0.0, 2.0], [0.5, 1.5], [1.0] * 5])
@pytest.mark.parametrize(("lr", "length"), [(0.5, 0.0), (0.5, 0.2), (1.3, 0.2), (0.5, 0.45)])
def test_on_parabolas_it_grows_as_its_map_says(
    curvatures: list[float], lr: float, length: float
) -> None:
    expected = radius(curvatures, lr, length)
    assert growth(curvatures, lr, length) == pytest.approx(expected, rel=0.03)


def test_unequal_curvatures_narrow_the_stable_rates_further() -> None:
    """Equal ones are stable up to lr = 2 (1 - γ̂) with γ̂ = 0.2, whatever the number of workers."""
    for count in (2, 5):
        assert radius([1.0] * count, 1.59, 0.2) < 1 < radius([1.0] * count, 1.61, 0.2)
    assert radius([0.0, 2.0], 1.19, 0.2) < 1 < radius([0.0, 2.0], 1.21, 0.2)


def weights(step: Step, count: int = 8) -> list[Tensor]:
    for batch in DATA[:count]:
        step(batch)
    return [t.clone() for t in step.model.state_dict().values()]


def make(kind: str = "sgd", sparse: bool = False, **options: Any) -> Step:
    model = network()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = make_optimizer(kind, trained, {}, lr=2**-5, weight_decay=0.0)
    method = Static(model, optimizer, sparsity=0.5) if sparse else None
    talk = LocalExtragradient(model, optimizer, **options)
    return Step(model, optimizer, loss_fn, method, communication=talk)


@pytest.mark.parametrize("kind", ["sgd", "adamw", "lars", "lamb"])
@pytest.mark.parametrize("source", ["local", "global", "noise"])
def test_without_a_length_it_is_all_reduce(kind: str, source: str) -> None:
    model = network()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = make_optimizer(kind, trained, {}, lr=2**-5, weight_decay=0.0)
    control = Step(model, optimizer, loss_fn, communication=AllReduce(model, optimizer))
    found = weights(make(kind, share=0.0, source=source)), weights(control)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_one_worker_is_the_correction() -> None:
    model = network()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 2**-5)
    correction = Extragradient(model, step_size=2**-4)
    found = (
        weights(Step(model, optimizer, loss_fn, None, correction)),
        weights(make(workers=1, share=2.0)),
    )
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_the_rate_of_a_small_batch_is_the_default_and_follows_the_schedule() -> None:
    step = make()
    step(DATA[0])
    for rate in (2**-5, 2**-7):
        step.optimizer.param_groups[0]["lr"] = rate
        step.communication.look_around()
        for number in range(4):
            for name, shift in step.communication.shift(number).items():
                weight = step.communication.parameters[name]
                last = step.optimizer.state[weight][f"gradient of worker {number}"]
                assert torch.equal(shift, last * -(rate / 4))


@pytest.mark.parametrize("source", ["local", "global", "noise"])
@pytest.mark.parametrize("scale", ["none", "trust"])
def test_shifts_are_as_long_as_they_should_be(source: str, scale: str) -> None:
    step = make("lars" if scale == "trust" else "sgd", True, source=source, scale=scale, share=0.5)
    step(DATA[0])
    talk = step.communication
    talk.look_around()
    shifts = [talk.shift(number) for number in range(4)]
    same = all(torch.equal(shifts[0][n], other[n]) for n in shifts[0] for other in shifts)
    assert same == (source == "global")
    for number, own in enumerate(shifts):
        for name, shift in own.items():
            weight = talk.parameters[name]
            slot = "mean gradient" if source == "global" else f"gradient of worker {number}"
            last = step.optimizer.state[weight][slot]
            weight = weight.detach()
            length = 0.5 * 2**-5 * last.norm()
            if scale == "trust" and weight.norm() > 0:
                length = 0.5 * 2**-5 * 0.001 * weight.norm()
            assert shift.norm() == pytest.approx(float(length), rel=1e-5)
            if name in step.sparse.masks:
                assert not shift[~step.sparse.masks[name]].any()


def test_noise_is_another_in_each_step_and_of_each_worker_and_the_same_again() -> None:
    def drawn() -> list[Tensor]:
        step = make(source="noise")
        found = []
        for batch in DATA[:3]:
            step(batch)
            step.communication.look_around()
            found += [
                torch.cat([s.flatten() for s in step.communication.shift(n).values()])
                for n in (0, 1)
            ]
        return found

    one, again = drawn(), drawn()
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert len({tuple(shift.tolist()) for shift in one}) == len(one)
