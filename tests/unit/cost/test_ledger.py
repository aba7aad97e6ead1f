from __future__ import annotations

from collections.abc import Callable

import pytest

from agc import RigL
from agc.cost.ledger import Ledger
from agc.cost.meter import Meter
from agc.training.build import build
from agc.training.loop import train


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
