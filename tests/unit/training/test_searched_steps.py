"""Steps whose optimizer searches: what its probes see, leave and cost, in the suite's ``Step``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agc import CGQ, RigL, Step, rng
from agc.conformance.optimizers import batches, loss_fn, network
from agc.conformance.states import same_state
from agc.corrections.base import Correction
from agc.errors import UserError
from agc.optimizers.base import optimizer_cost
from agc.optimizers.cgq import TRIES
from agc.planning.declared import units_per_epoch
from agc.records import checkpoint
from agc.registry import CORRECTIONS
from agc.training.build import build
from agc.training.loop import train

SEARCHING = {"lr": 0.02, "momentum": 0.8, "nesterov": True, "weight_decay": 1e-3, "ls_prob": 1.0}
CONSTANT = {"name": "constant"}


def described(tiny_cell: Any, training: dict[str, Any] | None = None, **fields: Any) -> Any:
    optimizer = {"name": "cgq", "lr": 0.02, "options": {"ls_prob": 0.5}}
    return tiny_cell({"optimizer": optimizer, "schedule": CONSTANT, **(training or {})}, **fields)


class Adds(Correction):
    """Adds a constant vector to the gradient."""

    def correct(self, batch: Any, loss_fn: Any) -> None:
        for name, gradient in self.gradients().items():
            gradient.add_(torch.randn(gradient.shape, generator=rng.generator(1, name)).double())


class Line(nn.Module):
    """A weight whose loss is a quadratic."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))

    def forward(self, curvature: Tensor) -> Tensor:
        return 0.5 * (curvature * self.weight**2).sum()


@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_the_loss_that_is_searched_has_the_gradient_that_the_optimizer_sees(
    clip_norm: float | None,
) -> None:
    model, curvature = Line(), torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)
    optimizer = CGQ(model.parameters(), lr=0.1, ls_prob=1.0, bound=100.0, trial=0.1)
    correction = Adds(model)
    step = Step(model, optimizer, lambda m, c: m(c), correction=correction, clip_norm=clip_norm)
    first = model.weight.detach().clone()
    step(curvature)
    seen = model.weight.grad
    assert clip_norm is None or seen.norm().item() == pytest.approx(clip_norm)
    exact = (seen @ seen) / (curvature * seen**2).sum()
    torch.testing.assert_close(model.weight.detach(), first - exact * seen, rtol=0, atol=1e-13)


def test_what_is_pruned_is_zero_at_every_probe() -> None:
    model, seen = network(), []
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = CGQ(trained, **SEARCHING)
    sparse = RigL(model, optimizer, sparsity=0.5, total_steps=48, update_interval=3)

    def loss(module: nn.Module, batch: Any) -> Tensor:
        for name, mask in sparse.masks.items():
            seen.append(torch.is_grad_enabled())
            assert not sparse.parameters[name][~mask].any()
        return loss_fn(module, batch)

    step, changes = Step(model, optimizer, loss, sparse), 0
    with unshown(sparse):
        for batch in batches():
            step(batch)
            changes += step.changed
    assert changes >= 3
    assert seen.count(False) >= 2 * len(batches())


@contextmanager
def unshown(sparse: RigL) -> Iterator[None]:
    """The method masks weights after a step alone, and shows them as they are within it."""
    shown = sparse.shown

    @contextmanager
    def settled(batch: Any, loss_fn: Any) -> Iterator[None]:
        sparse.settled = True
        with shown(batch, loss_fn):
            yield

    sparse.shown = settled
    yield


@pytest.mark.parametrize("variant", ["corrected", "published"])
def test_probes_leave_running_statistics_but_in_the_published_variant(variant: str) -> None:
    results = []
    for ls_prob in (0.0, 1.0):
        model = network()
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = CGQ(trained, **{**SEARCHING, "ls_prob": ls_prob}, variant=variant)
        torch.manual_seed(4)
        before = rng.streams()
        Step(model, optimizer, loss_fn)(batches()[0])
        assert rng.same(before, rng.streams())
        results.append(list(model.buffers()))
    same = all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert same is (variant == "corrected")


def test_forward_passes_counted_are_those_declared(tiny_cell: Any) -> None:
    options = {"ls_prob": 0.5, "tries": 1}  # a trial step, and nothing left to chance but the coin
    optimizer = {"name": "cgq", "lr": 0.02, "options": options}
    cell = described(tiny_cell, {"optimizer": optimizer, "epochs": 1}, seed=3)
    run = build(cell)
    for _ in train(run):
        pass
    coins = [
        torch.rand((), generator=rng.generator(3, "optimizer/probe", step=step)).item() < 0.5
        for step in range(4)
    ]
    assert 0 < sum(coins) < 4
    assert run.optimizer.param_groups[0]["probed"] == sum(coins)
    counted = run.meter.units(run.loader.images_per_epoch)
    assert counted == units_per_epoch(cell) + sum(coins) / 4 - optimizer_cost("cgq", options).step


def test_the_declared_number_of_tries_is_near_that_of_a_training(tiny_cell: Any) -> None:
    optimizer = {"name": "cgq", "lr": 0.05, "options": {"ls_prob": 1.0}}
    run = build(described(tiny_cell, {"optimizer": optimizer, "epochs": 4}))
    for _ in train(run):
        pass
    tries = run.optimizer.param_groups[0]["probed"] / run.method.steps - 1
    assert tries == pytest.approx(TRIES, abs=0.4)


@pytest.mark.parametrize("correction", ["none", "svrg"])
def test_a_run_resumed_from_its_checkpoint_has_the_same_bits(
    correction: str, tiny_cell: Any, tmp_path: Path
) -> None:
    fields = {"method": "rigl", "sparsity": 0.8, "correction": correction}
    cell, path = described(tiny_cell, **fields), tmp_path / "checkpoint.pt"
    whole = build(cell)
    for epoch, _ in train(whole):
        if epoch == 1:
            checkpoint.save(path, whole, epoch, {})
    resumed = build(cell)
    assert checkpoint.load(path, resumed)[0] == 1
    for _ in train(resumed, first_epoch=2):
        pass
    assert same_state(resumed.model.state_dict(), whole.model.state_dict())
    assert same_state(resumed.optimizer.state_dict(), whole.optimizer.state_dict())
    assert resumed.meter == whole.meter
    kept = whole.optimizer.param_groups[0]
    assert kept["probed"] > 1
    assert kept["trial"] < 0.1  # the first epoch's steps were shorter


@pytest.mark.parametrize(
    ("training", "fields", "message"),
    [
        ({"schedule": {"name": "step"}}, {}, "training.schedule must be constant"),
        ({"schedule": {**CONSTANT, "warmup": 1}}, {}, "got 'constant' with warmup 1"),
        ({}, {"method": "top-kast", "sparsity": 0.8}, "method 'top-kast' trains weights that"),
        ({}, {"method": "vr-pge", "sparsity": 0.8}, "method 'vr-pge' trains weights that"),
        ({}, {"method": "bsr", "sparsity": 0.8}, "method 'bsr' adds noise"),
        ({}, {"objective": "free-at"}, "objective 'free-at' changes with each gradient"),
        ({}, {"correction": "sam"}, "correction 'sam' leaves is not"),
        ({"optimizer": {"name": "cgq", "options": {"trial": 1.0}}}, {}, "trial = 1 is beyond"),
        ({"optimizer": {"name": "cgq", "options": {"points": 4}}}, {}, "option points = 4"),
    ],
)
def test_what_makes_a_search_useless_is_refused_when_a_cell_is_described(
    training: dict[str, Any], fields: dict[str, Any], message: str, tiny_cell: Any
) -> None:
    with pytest.raises(UserError) as caught:
        described(tiny_cell, training, **fields)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_corrections_of_another_point_or_of_steps_before_are_refused_alone(tiny_cell: Any) -> None:
    refused = set()
    for name in CORRECTIONS.names():
        fixed = {"fixed_batches": CORRECTIONS[name].target.fixed_batches}
        try:
            described(tiny_cell, fixed, correction=name)
        except UserError:
            refused.add(name)
    expected = {"extragradient", "mars", "s2-sam", "sam", "sarah", "storm"}
    assert expected <= refused
    assert refused - expected <= refused_by_sgd(tiny_cell)


def refused_by_sgd(tiny_cell: Any) -> set[str]:
    found = set()
    for name in CORRECTIONS.names():
        fixed = {"fixed_batches": CORRECTIONS[name].target.fixed_batches}
        try:
            tiny_cell(fixed, correction=name)
        except UserError:
            found.add(name)
    return found
