from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agc import RigL, Static
from agc.cost.flops import LayerFlops, layer_flops
from agc.cost.ledger import Ledger
from agc.cost.meter import Meter
from agc.evaluation.clean import evaluate_clean
from agc.registry import CORRECTIONS, OBJECTIVES
from agc.training.build import build
from agc.training.loop import train

STEPS = 2
FEW_STEPS = {name: {"steps": STEPS} for name in ("pgd-at", "mixed-at", "trades", "mart", "rst")}
BY_HAND = {
    ("standard", "none"): 3,
    ("standard", "agc"): 10,
    ("pgd-at", "none"): 3 * STEPS + 3,
    ("pgd-at", "agc"): 6 * STEPS + 10,
    ("mixed-at", "none"): 3 * STEPS / 2 + 3,
    ("trades", "none"): 3 * STEPS + 1 + 6,
    ("trades", "agc"): 6 * STEPS + 2 + 20,
    ("mart", "none"): 3 * STEPS + 6,
    ("fast-at", "none"): 6,
    ("free-at", "none"): 3,
    ("free-at", "agc"): 10,
}
"""Units per epoch. AGC's pass takes a gradient (3) and a loss (1), its step one more gradient (3);
with an attack of k steps the pass crafts images of its own: 2 · 3k. TRADES' loss takes two passes,
so everything that is not the attack costs twice as much, and its attack begins with one more."""


def declared_units(objective: str, correction: str) -> float:
    options = OBJECTIVES.resolve(objective, FEW_STEPS.get(objective, {}))
    target = OBJECTIVES[objective].target
    prepare, evaluate = target.preparation(**options), target.evaluation(**options)
    cost = CORRECTIONS[correction].target.cost(**CORRECTIONS.resolve(correction, {}))
    passes = 2 if cost.prepared_pass else 1
    extra = (cost.step + cost.snapshot) * evaluate.units / 3
    return passes * prepare.units + evaluate.units + extra


@pytest.mark.parametrize("correction", ["none", "agc"])
@pytest.mark.parametrize("objective", OBJECTIVES.names())
def test_counted_units_are_the_declared_ones(
    tiny_cell: Callable, objective: str, correction: str
) -> None:
    chosen = {"name": objective, "options": FEW_STEPS.get(objective, {})}
    run = build(tiny_cell(objective=chosen, correction=correction))
    expected = declared_units(objective, correction)
    for epoch, _ in train(run):
        assert run.meter.units(run.loader.images_per_epoch) == epoch * expected
    assert expected == BY_HAND.get((objective, correction), expected)


def test_what_an_evaluation_costs_is_no_training_cost(tiny_cell: Callable) -> None:
    run = build(tiny_cell())
    with run.meter.pause():
        evaluate_clean(run.model, run.validation)
    assert run.meter == Meter()
    evaluate_clean(run.model, run.validation)
    assert run.meter == Meter(forward=len(run.validation))


def test_building_a_run_costs_nothing(tiny_cell: Callable) -> None:
    assert build(tiny_cell(method="rigl", sparsity=0.9)).meter == Meter()


def test_a_pause_ends_with_an_error_too() -> None:
    meter = Meter()

    def fail() -> None:
        with meter.pause():
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not meter.paused


def test_passes_are_told_apart() -> None:
    meter, model = Meter(), nn.Linear(3, 2)
    meter.watch(model)
    with torch.no_grad():
        model(torch.zeros(5, 3))
    assert meter == Meter(forward=5)
    model(torch.zeros(7, 3)).sum().backward()
    assert meter == Meter(forward=12, backward=7)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    torch.autograd.grad(model(inputs := torch.ones(2, 3, requires_grad=True)).sum(), inputs)
    assert meter == Meter(forward=14, backward=7, input_backward=2)
    assert meter.units(images_per_epoch=2) == (14 + 2 * 9) / 2
    restored = Meter()
    restored.load_state_dict(meter.state_dict())
    assert restored == meter


class ThreeLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6 * 4 * 4, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.norm(self.second(self.first(images).relu())).flatten(1))


# Two for each multiply-add: output places × output channels × weights of one.
DENSE = {
    "first.weight": 2 * (8 * 8) * 4 * (3 * 9),
    "second.weight": 2 * (4 * 4) * 6 * (4 * 9),
    "head.weight": 2 * 10 * 96,
}
SIZES = {"first.weight": 108, "second.weight": 216, "head.weight": 960}


@pytest.fixture
def counted() -> tuple[LayerFlops, dict[str, int]]:
    """FLOPs of the three layers, and their active weights at 90 % sparsity."""
    model = ThreeLayers()
    method = Static(model, sparsity=0.9, distribution="uniform")
    return layer_flops(model, torch.zeros(1, 3, 8, 8), method.parameters), method.active()


def test_dense_flops_are_those_counted_by_hand(counted: tuple[LayerFlops, Any]) -> None:
    flops, _ = counted
    assert flops.layers == DENSE
    assert flops.sizes == SIZES
    assert flops.rest == 0
    assert flops.forward() == 13_824 + 6_912 + 1_920


def test_sparse_flops_are_weighted_with_the_active_weights(counted: tuple) -> None:
    flops, active = counted
    # A tenth of 108, 216 and 960: 10.8, 21.6 and 96, in all 128.4, so 128 are kept.
    assert active == {"first.weight": 11, "second.weight": 21, "head.weight": 96}
    expected = 13_824 * 11 / 108 + 6_912 * 21 / 216 + 1_920 * 96 / 960
    assert flops.forward(active) == pytest.approx(expected, rel=1e-12)


class Spent:
    """What a ledger asks a method for."""

    def __init__(self, active: dict[str, int], gradient: dict[str, int] | None = None) -> None:
        self.steps, self.dense_gradients = 1, 0
        self.active = lambda: active
        self.gradient_active = lambda: active if gradient is None else gradient


def test_training_flops_by_the_formula_of_rigl(counted: tuple) -> None:
    flops, active = counted
    sparse, dense = flops.forward(active), flops.forward()
    method = Spent(active)
    # Standard training of 100 images: 3 sparse passes each.
    meter = Meter()
    ledger = Ledger(flops, meter, method, batch_size=5)
    meter.forward = meter.backward = 100
    assert ledger.so_far(method) == pytest.approx(300 * sparse)
    # Gradients of two batches of 5 needed at pruned weights too: (2 f_S + f_D) instead of 3 f_S.
    method.dense_gradients = 2
    expected = 90 * 3 * sparse + 10 * (2 * sparse + dense)
    assert ledger.so_far(method) == pytest.approx(expected)
    # Attacked 5 times before: 5 forward passes and 5 backward passes to the input each.
    meter.forward, meter.input_backward = 600, 500
    assert ledger.so_far(method) == pytest.approx(expected + 1000 * sparse)


def test_training_flops_follow_the_densities(counted: tuple) -> None:
    flops, active = counted
    meter, dense = Meter(), Spent(flops.sizes)
    ledger = Ledger(flops, meter, dense, batch_size=5)
    meter.forward = meter.backward = 10
    # Pruned after 10 images; from then on the weight gradient is needed at twice the weights.
    double = {name: 2 * count for name, count in active.items()}
    pruned = Spent(active, double)
    ledger.settle(pruned)
    meter.forward = meter.backward = 14
    expected = 30 * flops.forward() + 4 * (2 * flops.forward(active) + flops.forward(double))
    assert ledger.so_far(pruned) == pytest.approx(expected)
    restored = Ledger(flops, meter, pruned, batch_size=5)
    restored.load_state_dict(ledger.state_dict())
    assert restored.so_far(pruned) == ledger.so_far(pruned)


def test_what_no_prunable_weight_does_is_counted_beside_them() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Linear(4, 4, bias=False)

        def forward(self, tokens: Tensor) -> Tensor:
            tokens = self.project(tokens)
            return tokens @ tokens.transpose(1, 2)

    model = Attention()
    parameters = {"project.weight": model.project.weight}
    flops = layer_flops(model, torch.zeros(1, 5, 4), parameters)
    assert flops.layers == {"project.weight": 2 * 5 * 4 * 4}
    assert flops.rest == 2 * 5 * 5 * 4
    assert flops.forward({"project.weight": 4}) == 160 / 4 + 200


def test_counting_flops_leaves_modes_and_running_statistics() -> None:
    model = ThreeLayers()
    model.norm.eval()
    before = [buffer.clone() for buffer in model.buffers()]
    layer_flops(model, torch.zeros(1, 3, 8, 8), {})
    assert model.training
    assert not model.norm.training
    assert all(torch.equal(a, b) for a, b in zip(before, model.buffers(), strict=True))


def test_gradients_at_pruned_weights_are_counted_where_a_method_needs_them(
    tiny_cell: Callable,
) -> None:
    images = {}
    for method in ("set", "rigl"):
        chosen = {"name": method, "options": {"update_interval": 2}}
        run = build(tiny_cell(method=chosen, sparsity=0.9))
        list(train(run))
        assert run.ledger.updates == 2  # of 8 steps, after 2 and 4: before 0.75 · 8
        images[method] = run.method.dense_gradients * run.loader.batch_size
    assert images == {"set": 0, "rigl": 2 * 64}
    assert isinstance(run.method, RigL)
