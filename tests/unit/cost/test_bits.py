"""FLOPs in the bits of what is multiplied, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from agc.cost.bits import BitLedger
from agc.cost.flops import LayerFlops, layer_flops
from agc.cost.meter import Meter
from agc.cost.products import products_of
from agc.quantization.shared.formats import Formats
from agc.quantization.static import StaticBits

SHARES = {
    # FracTrain's cost of a pair of bits, with weights of 4: mean of the three products.
    (3, 4, 6): 0.01758,
    (4, 4, 6): 0.02083,
    (4, 4, 8): 0.02604,
    (6, 4, 8): 0.03385,
    (6, 4, 12): 0.04688,
    # Its stages.
    (3, 3, 6): 0.01465,
    (6, 6, 8): 0.04297,
    (8, 8, 8): 0.0625,
}


@pytest.mark.parametrize(("bits", "share"), SHARES.items())
def test_a_layer_costs_what_the_paper_says(bits: tuple[int, int, int], share: float) -> None:
    found = products_of(*bits)
    assert (found.forward + found.errors + found.gradients) / 3 == pytest.approx(share, abs=5e-6)


class Spent:
    """What a ledger asks a method for."""

    def __init__(self, active: dict[str, int], gradient: dict[str, int] | None = None) -> None:
        self.steps, self.dense_gradients = 1, 0
        self.active = lambda: active
        self.gradient_active = lambda: active if gradient is None else gradient


def ledger(
    model: nn.Module, counted: tuple[LayerFlops, dict[str, int]], method: Spent, *keep: str
) -> tuple[BitLedger, Meter, StaticBits]:
    flops, _ = counted
    quantization, meter = StaticBits(model, forward=4, backward=6, keep_float=keep), Meter()
    weights = {name: p for name, p in model.named_parameters() if p.ndim > 1}
    layers = layer_flops(model, torch.zeros(1, 3, 8, 8), weights)
    return BitLedger(flops, meter, method, 5, layers, quantization), meter, quantization


def test_products_of_each_pass_and_density(three_layers: nn.Module, counted: tuple) -> None:
    flops, active = counted
    method = Spent(active)
    found, meter, _ = ledger(three_layers, counted, method)
    assert flops.rest == 0
    meter.forward = meter.backward = 100
    sparse = flops.forward(active)
    expected = 100 * sparse * (4 * 4 + 6 * 4 + 4 * 6) / 1024
    assert found.bits_so_far(method).total == pytest.approx(expected)
    assert found.bits_so_far(method).published == pytest.approx(expected)
    # An attack of ten passes: its gradients are in float32, its weights are not.
    meter.forward, meter.input_backward = 1100, 1000
    expected += 1000 * sparse * (4 * 4 + 32 * 4) / 1024
    assert found.bits_so_far(method).total == pytest.approx(expected)
    # The gradient of one batch of 5 needed at pruned weights too.
    method.dense_gradients = 1
    expected += 5 * (flops.forward() - sparse) * 4 * 6 / 1024
    assert found.bits_so_far(method).total == pytest.approx(expected)
    assert found.so_far(method) == pytest.approx(
        1100 * sparse + 1000 * sparse + 200 * sparse + 5 * (flops.forward() - sparse)
    )


def test_float_layers_count_in_full_and_cost_nothing_as_published(
    three_layers: nn.Module, counted: tuple
) -> None:
    flops, active = counted
    method = Spent(active)
    found, meter, _ = ledger(three_layers, counted, method, "head")
    meter.forward = meter.backward = 100
    head = flops.layers["head.weight"] * active["head.weight"] / flops.sizes["head.weight"]
    quantised = 100 * (flops.forward(active) - head) * (4 * 4 + 6 * 4 + 4 * 6) / 1024
    spent = found.bits_so_far(method)
    assert spent.published == pytest.approx(quantised)
    assert spent.total == pytest.approx(quantised + 300 * head)


def test_what_came_before_a_change_costs_what_it_was(
    three_layers: nn.Module, counted: tuple
) -> None:
    flops, active = counted
    dense, sparse = Spent(flops.sizes), Spent(active)
    found, meter, quantization = ledger(three_layers, counted, dense)
    quantization.before_change = lambda: found.settle_bits(sparse)
    meter.forward = meter.backward = 10
    found.settle(sparse)
    meter.forward = meter.backward = 14
    quantization.change(Formats(8, 8, 8))
    meter.forward = meter.backward = 20
    expected = 10 * flops.forward() * (4 * 4 + 6 * 4 + 4 * 6) / 1024
    expected += 4 * flops.forward(active) * (4 * 4 + 6 * 4 + 4 * 6) / 1024
    expected += 6 * flops.forward(active) * 3 / 16
    assert found.bits_so_far(sparse).total == pytest.approx(expected)
    other, meter.forward = found.state_dict(), 20
    found.bits = found.bits._replace(total=0.0)
    found.load_state_dict(other)
    assert found.bits_so_far(sparse).total == pytest.approx(expected)
