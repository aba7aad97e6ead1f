from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from agc import SET, Dense, RigL, Static, rng
from agc.sparsity.masks import apply_masks, prunable_parameters, random_mask, top_mask
from agc.sparsity.update import drop_and_grow


def grid(text: str) -> Tensor:
    return torch.tensor([[float(x) for x in line.split()] for line in text.strip().splitlines()])


MASK = grid("""
1 1 0 0
0 1 0 1
1 0 0 0
0 0 1 0""").bool()
MAGNITUDE = grid("""
.5 .1 .9 .9
.9 .7 .9 .2
.3 .9 .9 .9
.9 .9 .6 .9""")
GRADIENT = grid("""
.9 .4 .1 .8
.2 .9 .3 .7
.9 .5 .1 .2
.1 .6 .9 .3""")


def test_a_four_by_four_update_worked_by_hand() -> None:
    # Active magnitudes .5 .1 .7 .2 .3 .6: .1 and .2 go. Best vacant gradients, just dropped
    # places included: .8 at (0, 3) and .7 at (1, 3), so (1, 3) comes straight back.
    expected = grid("""
1 0 0 1
0 1 0 1
1 0 0 0
0 0 1 0""").bool()
    assert torch.equal(drop_and_grow(MASK, MAGNITUDE, GRADIENT, 2), expected)


def test_without_regrowth_the_next_best_place_is_taken() -> None:
    # (1, 3) may not come back: .6 at (3, 1) is the next best after .8 at (0, 3).
    expected = grid("""
1 0 0 1
0 1 0 0
1 0 0 0
0 1 1 0""").bool()
    assert torch.equal(drop_and_grow(MASK, MAGNITUDE, GRADIENT, 2, regrow=False), expected)


SCORE = st.sampled_from([-math.inf, -1.0, 0.0, 0.5, 0.5 + 1e-7, 2.0, math.inf])


@st.composite
def layers(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor, int, bool]:
    """A layer with many equal scores, its mask, a count that may be too large, and regrow."""
    size = draw(st.integers(1, 24))
    values = st.lists(SCORE, min_size=size, max_size=size)
    mask = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    drop, grow = torch.tensor(draw(values)), torch.tensor(draw(values))
    return torch.tensor(mask), drop, grow, draw(st.integers(0, 30)), draw(st.booleans())


@given(layers())
def test_an_update_keeps_the_count_drops_the_worst_and_grows_the_best(layer: tuple) -> None:
    mask, drop, grow, count, regrow = layer
    before = mask.clone()
    new = drop_and_grow(mask, drop, grow, count, regrow)
    assert torch.equal(mask, before)
    assert new.dtype == torch.bool
    assert int(new.sum()) == int(mask.sum())
    replaced = int((mask & ~new).sum())
    possible = min(count, int(mask.sum()), int((~mask).sum()))
    assert replaced <= possible
    if not regrow:
        assert replaced == possible
    lost, kept = drop[mask & ~new], drop[mask & new]
    if len(lost) and not regrow:
        assert lost.max() <= kept.min() if len(kept) else True
    grown, passed_over = grow[new & ~mask], grow[~new & ~mask]
    if len(grown) and len(passed_over):
        assert grown.min() >= passed_over.max()
    assert torch.equal(new, drop_and_grow(mask, drop, grow, count, regrow))


def test_of_equal_scores_the_first_in_memory_order_wins() -> None:
    mask = torch.tensor([True, True, True, False, False, False])
    equal = torch.ones(6)
    expected = torch.tensor([True, True, False, True, False, False])
    assert torch.equal(drop_and_grow(mask, equal, equal, 1, regrow=False), expected)
    assert top_mask(equal.reshape(2, 3), 2).tolist() == [[True, True, False], [False] * 3]


@pytest.mark.parametrize(("where", "which"), [(0, "drop"), (2, "grow")])
def test_a_score_that_is_not_a_number_raises(where: int, which: str) -> None:
    mask = torch.tensor([True, True, False, False])
    scores = {"drop": torch.ones(4), "grow": torch.ones(4)}
    scores[which][where] = math.nan
    with pytest.raises(FloatingPointError, match="NaN"):
        drop_and_grow(mask, scores["drop"], scores["grow"], 1)


def test_a_score_that_is_not_read_may_be_anything() -> None:
    mask = torch.tensor([True, True, False, False])
    drop = torch.tensor([2.0, 1.0, math.nan, math.nan])
    grow = torch.tensor([math.nan, 0.0, 1.0, 2.0])
    assert drop_and_grow(mask, drop, grow, 1).tolist() == [True, False, False, True]


@given(st.integers(1, 200), st.data())
def test_random_masks_have_the_exact_count(size: int, data: st.DataObject) -> None:
    active = data.draw(st.integers(0, size))
    mask = random_mask((size,), active, rng.generator(active, "mask"))
    assert mask.dtype == torch.bool
    assert int(mask.sum()) == active


def test_random_masks_are_spread_evenly() -> None:
    generator = rng.generator(0, "mask")
    hits = sum(random_mask((4, 5), 5, generator).float() for _ in range(4000)) / 4000
    # Standard error √(¼ · ¾ / 4000) = 0.0068; five of them.
    assert (hits - 0.25).abs().max() < 0.035


def test_weights_of_convolutions_and_linear_layers_are_prunable_shared_ones_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(5, 4)
            self.conv = nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2))
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
            self.second.weight = self.first.weight

    model = Tied()
    found = prunable_parameters(model)
    assert list(found) == ["conv.0.weight", "first.weight"]
    assert found["first.weight"] is model.second.weight
    assert list(prunable_parameters(nn.Linear(2, 3))) == ["weight"]


def test_masks_are_applied_in_place_in_any_memory_format() -> None:
    conv = nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)
    view, address = conv.weight.view_as(conv.weight), conv.weight.data_ptr()
    mask = random_mask(conv.weight.shape, 20, rng.generator(0, "mask"))
    expected = conv.weight.detach() * mask
    apply_masks({"weight": conv.weight}, {"weight": mask})
    assert conv.weight.data_ptr() == address
    assert conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(view, expected)


def learn(method_class: type, gradients: list[Tensor], **options: object) -> list[Tensor]:
    """Masks after each step of a 4×4 layer that gets these gradients."""
    layer = nn.Linear(4, 4, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    method = method_class(layer, optimizer, **options)
    masks = [method.masks["weight"].clone()]
    for gradient in gradients:
        layer.weight.grad = gradient.clone()
        method.observe()
        optimizer.step()
        method.advance()
        masks.append(method.masks["weight"].clone())
    masks.append(torch.tensor(method.exploration_rate()))
    return masks


@pytest.mark.parametrize("method_class", [SET, RigL])
def test_the_exploration_rate_counts_each_weight_that_was_ever_active(method_class) -> None:
    generator = rng.generator(0, "gradients")
    gradients = [torch.randn(4, 4, generator=generator) for _ in range(6)]
    options = {"sparsity": 0.75, "total_steps": 100, "update_interval": 2, "drop_fraction": 0.5}
    *masks, rate = learn(method_class, gradients, **options)
    ever = {place for mask in masks for place in range(16) if mask.reshape(-1)[place]}
    assert len(ever) > 4
    assert rate.item() == pytest.approx(len(ever) / 16)
    # Steps 2, 4 and 6 replace up to two of four weights; the others change nothing.
    changed = [int((new & ~old).sum()) for old, new in pairwise(masks)]
    assert changed[0] == changed[2] == changed[4] == 0
    assert max(changed) <= 2


def test_the_controls_explore_what_they_start_with() -> None:
    gradients = [torch.ones(4, 4)] * 3
    assert learn(Static, gradients, sparsity=0.75)[-1] == 0.25
    assert learn(Dense, gradients)[-1] == 1.0


def test_rigl_grows_where_the_raw_gradient_is_largest() -> None:
    layer = nn.Linear(4, 4, bias=False)
    method = RigL(layer, None, sparsity=0.75, total_steps=100, update_interval=1, drop_fraction=0.5)
    vacant = (~method.masks["weight"]).nonzero()
    row, column = vacant[5].tolist()
    layer.weight.grad = torch.zeros(4, 4)
    layer.weight.grad[row, column] = -1.0
    method.observe()
    layer.weight.grad.zero_()  # what a correction does to the gradient is not seen
    smallest = layer.weight.abs().masked_fill(~method.masks["weight"], math.inf).argmin()
    assert method.advance()
    assert method.masks["weight"][row, column]
    assert not method.masks["weight"].reshape(-1)[smallest]
    assert layer.weight[row, column] == 0


def test_no_update_comes_at_or_after_the_end_fraction() -> None:
    gradients = [torch.randn(4, 4, generator=rng.generator(i, "g")) for i in range(20)]
    options = {"sparsity": 0.5, "total_steps": 20, "update_interval": 3, "end_fraction": 0.6}
    *masks, _ = learn(RigL, gradients, drop_schedule="constant", drop_fraction=0.5, **options)
    steps = [
        step
        for step, (old, new) in enumerate(pairwise(masks), start=1)
        if not torch.equal(old, new)
    ]
    # Multiples of 3 below 12 = 0.6 · 20.
    assert steps
    assert set(steps) <= {3, 6, 9}


def test_the_number_of_replaced_weights_follows_the_schedule() -> None:
    layer = nn.Linear(40, 10, bias=False)
    method = RigL(
        layer,
        None,
        sparsity=0.5,
        total_steps=8,
        update_interval=2,
        drop_fraction=0.4,
        end_fraction=1.0,
    )
    found = []
    for _ in range(8):
        before = method.masks["weight"].clone()
        # The gradient wants none of the active weights back.
        layer.weight.grad = torch.where(before, 0.0, 1.0)
        with torch.no_grad():
            layer.weight.add_(before.float())
        method.observe()
        method.advance()
        found.append(int((before & ~method.masks["weight"]).sum()))
    # 200 active weights: 0.2 (1 + cos(π t / 8)) at t = 2, 4, 6, rounded down; none at the end.
    assert found == [0, 68, 0, 40, 0, 11, 0, 0]
