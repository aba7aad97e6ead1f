from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from agc.sparsity.distributions import active_counts
from agc.sparsity.ranking import best_masks, largest_weights

SCORE = st.sampled_from([-1.0, 0.0, 0.5, 0.5 + 1e-7, 2.0])
LAYER = st.lists(SCORE, min_size=1, max_size=12).map(torch.tensor)
LAYERS = st.lists(LAYER, min_size=1, max_size=4).map(
    lambda layers: {f"layer{i}": layer for i, layer in enumerate(layers)}
)


def test_a_ranking_of_all_weights_worked_by_hand() -> None:
    scores = {
        "a": torch.tensor([[0.1, 0.9], [0.4, 0.3]]),
        "b": torch.tensor([0.02, 0.01]),
        "c": torch.tensor([0.8, 0.7, 0.6, 0.5]),
    }
    # Half of ten: the best of each layer (.9, .02, .8) and the two best of the others (.7, .6).
    masks = best_masks(scores, 0.5)
    assert masks["a"].tolist() == [[False, True], [False, False]]
    assert masks["b"].tolist() == [True, False]
    assert masks["c"].tolist() == [True, True, True, False]


@given(LAYERS, st.floats(0, 0.99))
def test_the_count_is_exact_and_each_layer_keeps_its_best(scores: dict, sparsity: float) -> None:
    total = sum(score.numel() for score in scores.values())
    wanted = round((1 - sparsity) * total)
    if wanted < len(scores):
        with pytest.raises(ValueError, match=r"\d"):
            best_masks(scores, sparsity)
        return
    masks = best_masks(scores, sparsity)
    assert sum(int(mask.sum()) for mask in masks.values()) == wanted
    kept = [float(s) for n in scores for s in scores[n][masks[n]]]
    left_out = [float(s) for n in scores for s in scores[n][~masks[n]]]
    for name, score in scores.items():
        assert masks[name][score.argmax()]
        lone = int(masks[name].sum()) == 1
        spare = [] if lone else score[masks[name]].tolist()
        assert all(s >= max(left_out, default=-math.inf) for s in spare)
    assert len(kept) == wanted


def test_of_equal_scores_the_first_wins_in_the_order_of_layers() -> None:
    scores = {"a": torch.ones(3), "b": torch.ones(2, 2), "c": torch.ones(3)}
    masks = best_masks(scores, 0.5)
    assert masks["a"].tolist() == [True, True, True]
    assert masks["b"].tolist() == [[True, False], [False, False]]
    assert masks["c"].tolist() == [True, False, False]


def test_other_distributions_rank_each_layer_by_itself() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = {
        "conv": torch.randn(8, 4, 3, 3, generator=generator),
        "fc": torch.randn(10, 8, generator=generator),
    }
    for distribution in ("uniform", "er", "erk", {"fc": 0.5}):
        counts = active_counts({n: tuple(s.shape) for n, s in scores.items()}, 0.8, distribution)
        masks = best_masks(scores, 0.8, distribution)
        for name, score in scores.items():
            assert int(masks[name].sum()) == counts[name]
            assert score[masks[name]].min() > score[~masks[name]].max()


@given(LAYERS, st.sampled_from(["global", "uniform", "erk"]), st.data())
def test_a_weight_once_pruned_is_never_needed_again(
    scores: dict, distribution: str, data: st.DataObject
) -> None:
    scores = {name: score.reshape(-1, 1) for name, score in scores.items()}
    sparsity = data.draw(st.floats(0, 0.7))
    shares = sorted(data.draw(st.lists(st.floats(0, 1), min_size=2, max_size=5)))
    try:
        end = best_masks(scores, sparsity, distribution)
    except ValueError:
        return
    before = {name: torch.ones_like(score, dtype=torch.bool) for name, score in scores.items()}
    for share in shares:
        ranked = {n: torch.where(before[n], s, -torch.inf) for n, s in scores.items()}
        masks = best_masks(ranked, sparsity, distribution, share)
        assert all((masks[n] <= before[n]).all() for n in masks)
        assert all((masks[n] >= end[n]).all() for n in masks)
        before = masks


def test_a_share_of_the_way_worked_by_hand() -> None:
    scores = {"a": torch.arange(10.0), "b": torch.arange(20.0)}
    # The map prunes 2 and 16 in the end; half of the way 1 and 8.
    halfway = best_masks(scores, 18 / 30, {"a": 0.2, "b": 0.8}, 0.5)
    assert [int(mask.sum()) for mask in halfway.values()] == [9, 12]
    # Of 30 weights 18 are pruned in the end, a third of the way 6: 0 to 3 of one or 0 to 2 of both.
    third = best_masks(scores, 18 / 30, "global", 1 / 3)
    assert [int(mask.sum()) for mask in third.values()] == [7, 17]


def test_an_infinite_score_is_kept_and_one_that_is_not_a_number_raises() -> None:
    scores = {"a": torch.tensor([1.0, math.inf, math.inf]), "b": torch.tensor([5.0, 4.0, 3.0])}
    assert best_masks(scores, 0.5)["a"].tolist() == [False, True, True]
    scores["b"][1] = math.nan
    with pytest.raises(FloatingPointError, match="'b'"):
        best_masks(scores, 0.5)


def layers(*weights: list[float]) -> dict[str, nn.Parameter]:
    return {f"layer{i}": nn.Parameter(torch.tensor(w)) for i, w in enumerate(weights)}


def all_of(parameters: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: torch.ones_like(p, dtype=torch.bool) for name, p in parameters.items()}


def test_the_largest_weights_stay_and_pruned_ones_never_come_back() -> None:
    parameters = layers([1.0, -4.0, 0.0], [3.0, -2.0, 9.0])
    masks = all_of(parameters)
    masks["layer1"][2] = False
    masks["layer1"][1] = False
    best = largest_weights(parameters, masks, 1 / 2, "global", 1.0)
    # Two of six are pruned already; of the other four the zero is the smallest.
    assert best["layer0"].tolist() == [True, True, False]
    assert best["layer1"].tolist() == [True, False, False]


def test_frozen_layers_keep_their_masks_and_the_others_make_up_for_them() -> None:
    parameters = layers([1.0, 2.0, 3.0], [9.0, 8.0, 7.0, 6.0])
    parameters["layer0"].requires_grad_(False)
    masks = all_of(parameters)
    best = largest_weights(parameters, masks, 3 / 7, "global", 1.0)
    assert best["layer0"].tolist() == [True, True, True]
    assert best["layer1"].tolist() == [True, False, False, False]
    uniform = largest_weights(parameters, masks, 3 / 7, "uniform", 1.0)
    assert [int(mask.sum()) for mask in uniform.values()] == [3, 2]
