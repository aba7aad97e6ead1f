from __future__ import annotations

import pytest

from agc.planning.declared import units, units_per_epoch
from agc.registry import OBJECTIVES
from agc.training.build import build
from agc.training.loop import train
from tests.conftest import CellMaker

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


@pytest.mark.parametrize("correction", ["none", "agc"])
@pytest.mark.parametrize("objective", OBJECTIVES.names())
def test_declared_units_are_those_that_training_counts(
    tiny_cell: CellMaker, objective: str, correction: str
) -> None:
    chosen = {"name": objective, "options": FEW_STEPS.get(objective, {})}
    cell = tiny_cell(objective=chosen, correction=correction, method="rigl", sparsity=0.9)
    expected = units_per_epoch(cell)
    assert expected == BY_HAND.get((objective, correction), expected)
    assert units(cell) == cell.training.epochs * expected
    run = build(cell)
    counted = [run.meter.units(run.loader.images_per_epoch) for _ in train(run)]
    assert counted == [expected, 2 * expected]


@pytest.mark.parametrize("method", ["dense", "rigl"])
@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("correction", ["none", "agc"])
def test_declared_units_follow_the_steps_of_the_attack_and_no_method(
    tiny_cell: CellMaker, method: str, correction: str, steps: int
) -> None:
    cell = tiny_cell(
        method=method,
        sparsity=0.0 if method == "dense" else 0.9,
        correction=correction,
        objective={"name": "pgd-at", "options": {"steps": steps}} if steps else "standard",
    )
    # A forward pass is 1, a backward pass 2. Each attack step is both of them with respect to the
    # images alone. The correction does the loss's part twice more, and attacks once more.
    k = steps
    closed = {"none": 3 * k + 3, "agc": 6 * k + 10} if k else {"none": 3, "agc": 10}
    assert units_per_epoch(cell) == closed[correction]
