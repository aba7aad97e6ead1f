from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from agc.sparsity.masks import top_mask
from agc.sparsity.update import drop_and_grow
from tests.support.method_examples import GRADIENT, MASK, WEIGHT, grid

# What is read where no weight is active would be dropped last.
MAGNITUDE = torch.where(MASK, WEIGHT.abs(), 0.9)


def test_a_four_by_four_update_worked_by_hand() -> None:
    # Active magnitudes .5 .1 .7 .2 .3 .6: .1 and .2 go. Best vacant gradients, just dropped
    # places included: .8 at (0, 3) and .7 at (1, 3), so (1, 3) comes straight back.
    expected = grid("""
1 0 0 1
0 1 0 1
1 0 0 0
0 0 1 0""").bool()
    assert torch.equal(drop_and_grow(MASK, MAGNITUDE, GRADIENT.abs(), 2), expected)


def test_without_regrowth_the_next_best_place_is_taken() -> None:
    # (1, 3) may not come back: .6 at (3, 1) is the next best after .8 at (0, 3).
    expected = grid("""
1 0 0 1
0 1 0 0
1 0 0 0
0 1 1 0""").bool()
    assert torch.equal(drop_and_grow(MASK, MAGNITUDE, GRADIENT.abs(), 2, regrow=False), expected)


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
    dropped = min(count, int(mask.sum()))
    if regrow:
        # By hand: all that the drop does not keep compete, those just dropped among them.
        order = [i for i in torch.argsort(drop, descending=True, stable=True).tolist() if mask[i]]
        kept = order[: len(order) - dropped]
        free = torch.argsort(grow, descending=True, stable=True).tolist()
        grown = [i for i in free if i not in kept][:dropped]
        assert sorted(kept + grown) == new.nonzero().flatten().tolist()
    else:
        assert replaced == min(dropped, int((~mask).sum()))
    lost, kept = drop[mask & ~new], drop[mask & new]
    if len(lost) and not regrow:
        assert lost.max() <= kept.min() if len(kept) else True
    grown, passed_over = grow[new & ~mask], grow[~new & ~mask]
    if len(grown) and len(passed_over):
        assert grown.min() >= passed_over.max()
    assert torch.equal(new, drop_and_grow(mask, drop, grow, count, regrow))


def test_a_nearly_dense_layer_drops_more_than_it_has_room_for() -> None:
    # 9 of 10 are active; RigL's code drops the 3 smallest and grows the 3 best of the 4 not kept.
    mask = torch.tensor([True] * 9 + [False])
    magnitude = torch.tensor([0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.5, 0.4, 0.0])
    gradient = torch.tensor([0.0, 0.1, 0.0, 0.5, 0.0, 0.6, 0.0, 0.0, 0.0, 0.2])
    new = drop_and_grow(mask, magnitude, gradient, 3)
    assert new.tolist() == [True, False] + [True] * 8
    # Cut to the vacant place, 0.1 alone would go, and the gradient would not matter: 0.2 and 0.3
    # would be kept whatever it says.
    gradient = torch.tensor([0.0, 0.6, 0.0, 0.5, 0.0, 0.1, 0.0, 0.0, 0.0, 0.2])
    assert not drop_and_grow(mask, magnitude, gradient, 3)[5]


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
