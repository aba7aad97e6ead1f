from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from agc import Static
from agc.errors import UserError
from agc.sparsity.distributions import InfeasibleSparsityError, active_counts, er, erk, uniform
from agc.sparsity.prunable import choose_prunable

KERNELS = st.sampled_from([(), (1, 1), (3, 3), (5, 3)])
SHAPE = st.tuples(st.integers(1, 40), st.integers(1, 40), KERNELS).map(lambda s: (*s[:2], *s[2]))
SHAPES = st.lists(SHAPE, min_size=1, max_size=6).map(
    lambda shapes: {f"layer{i}.weight": shape for i, shape in enumerate(shapes)}
)
SPARSITY = st.floats(0, 0.995)


def oracle(shapes: dict[str, tuple[int, ...]], sparsity: float, kind: str) -> np.ndarray:
    """Wanted number of weights by layer: the one ε with Σ min(1, ε s) n = target, by bisection."""
    sizes = np.array([np.prod(s) for s in shapes.values()], dtype=float)
    if kind == "uniform":
        return (1 - sparsity) * sizes
    scores = {
        "er": [(s[0] + s[1]) / (s[0] * s[1]) for s in shapes.values()],
        "erk": [np.sum(s) / np.prod(s) for s in shapes.values()],
    }
    score = np.array(scores[kind], dtype=float)
    low, high = 0.0, 1 / score.min()
    for _ in range(200):
        middle = (low + high) / 2
        kept = (np.minimum(1, middle * score) * sizes).sum()
        low, high = (middle, high) if kept < (1 - sparsity) * sizes.sum() else (low, middle)
    return np.minimum(1, high * score) * sizes


@pytest.mark.parametrize("kind", ["erk", "er", "uniform"])
@given(shapes=SHAPES, sparsity=SPARSITY)
def test_counts_sum_to_the_target_and_follow_an_independent_solution(
    kind: str, shapes: dict, sparsity: float
) -> None:
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    wanted = dict(zip(shapes, oracle(shapes, sparsity, kind), strict=True))
    try:
        counts = active_counts(shapes, sparsity, kind)
    except InfeasibleSparsityError:
        assert min(wanted.values()) < 1
        return
    assert sum(counts.values()) == round((1 - sparsity) * sum(sizes.values()))
    for name, count in counts.items():
        assert 1 <= count <= sizes[name]
        assert abs(count - wanted[name]) < 1 + 1e-6


@given(shapes=SHAPES)
@pytest.mark.parametrize("kind", ["erk", "er", "uniform"])
def test_no_sparsity_keeps_every_weight(kind: str, shapes: dict) -> None:
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    assert active_counts(shapes, 0.0, kind) == sizes


def test_densities_worked_by_hand() -> None:
    shapes = {"conv": (20, 10, 3, 3), "fc": (10, 20)}
    assert uniform(shapes, 0.1) == {"conv": 0.1, "fc": 0.1}
    # 2,000 weights, 200 of them active. ERK scores: conv 36/1800 = 0.02, fc 30/200 = 0.15, so
    # 1800 · 0.02 ε + 200 · 0.15 ε = 66 ε = 200 and ε = 100/33.
    assert erk(shapes, 0.1) == pytest.approx({"conv": 2 / 33, "fc": 15 / 33})
    # ER looks at channels alone: both 30/200 = 0.15, the same density for both.
    assert er(shapes, 0.1) == pytest.approx({"conv": 0.1, "fc": 0.1})


def test_a_layer_that_would_overflow_is_dense_and_the_others_share_the_rest() -> None:
    shapes = {"big": (100, 100), "small": (2, 3)}
    # At half of 10,006 weights ε would make "small" denser than dense: it keeps its 6.
    assert erk(shapes, 0.5) == pytest.approx({"big": (5003 - 6) / 10_000, "small": 1.0})
    assert active_counts(shapes, 0.5) == {"big": 4997, "small": 6}


def test_rounding_gives_the_missing_weights_to_the_largest_remainders() -> None:
    # A third of 10, 5 and 4 weights is 3.33, 1.67 and 1.33: 6.33 in all, so 6 are kept.
    shapes = {"a": (10, 1), "b": (5, 1), "c": (4, 1)}
    assert active_counts(shapes, 2 / 3, "uniform") == {"a": 3, "b": 2, "c": 1}


def test_a_layer_without_weights_is_an_error_that_names_it() -> None:
    shapes = {"stem.weight": (4, 1, 3, 3), "head.weight": (100, 100)}
    with pytest.raises(InfeasibleSparsityError) as caught:
        active_counts(shapes, 0.99, "uniform")
    assert str(caught.value) == (
        "uniform at sparsity 0.99 gives layer 'stem.weight' 0.36 of its 36 weights"
    )


@pytest.mark.parametrize("sparsity", [1.0, 1.2, -0.1, math.nan])
def test_a_sparsity_out_of_range_is_refused(sparsity: float) -> None:
    with pytest.raises(InfeasibleSparsityError, match=f"sparsity {sparsity}"):
        active_counts({"fc": (4, 4)}, sparsity)


def test_an_unknown_distribution_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown distribution 'erdos'"):
        active_counts({"fc": (4, 4)}, 0.5, "erdos")


@given(shapes=SHAPES, sparsity=SPARSITY)
def test_a_ranking_of_all_weights_starts_from_equal_densities(
    shapes: dict, sparsity: float
) -> None:
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    target = round((1 - sparsity) * sum(sizes.values()))
    if target < len(shapes):
        with pytest.raises(InfeasibleSparsityError):
            active_counts(shapes, sparsity, "global")
        return
    counts = active_counts(shapes, sparsity, "global")
    assert sum(counts.values()) == target
    for name, count in counts.items():
        assert 1 <= count <= sizes[name]
        assert count - (1 - sparsity) * sizes[name] < 1 + 1e-6


def test_under_global_the_largest_layer_pays_for_those_that_would_be_empty() -> None:
    shapes = {"stem": (4, 1, 3, 3), "tiny": (2, 2), "head": (100, 100)}
    # One percent: .36, .04 and 100 weights, 100 in all.
    assert active_counts(shapes, 0.99, "global") == {"stem": 1, "tiny": 1, "head": 98}


LAYERS = {"stem.weight": (8, 1, 3, 3), "block.0.weight": (8, 8), "block.1.weight": (8, 8),
          "fc.weight": (10, 8)}  # fmt: skip


def test_a_map_of_sparsities_worked_by_hand() -> None:
    # 280 weights, 84 active: 36 of the stem, 8 of each block, and what is left of the classifier.
    wanted = {"stem": 0.5, "block.*": 0.875}
    expected = {"stem.weight": 36, "block.0.weight": 8, "block.1.weight": 8, "fc.weight": 32}
    assert active_counts(LAYERS, 0.7, wanted) == expected
    # The first pattern that fits counts, with or without ".weight".
    first = {"block.1.weight": 0.75, "block.*": 0.875, "stem": 0.5}
    assert active_counts(LAYERS, 0.7, first) == {
        **expected, "block.1.weight": 16, "fc.weight": 24
    }  # fmt: skip


@given(st.floats(0.05, 0.95), st.floats(0.3, 0.8))
def test_layers_that_a_map_does_not_name_share_the_rest_by_erk(named: float, total: float) -> None:
    try:
        counts = active_counts(LAYERS, total, {"fc": named})
    except InfeasibleSparsityError:
        left = (1 - total) * 280 - (1 - named) * 80
        assert left < 3 or left > 200 - 3
        return
    assert sum(counts.values()) == round((1 - total) * 280)
    assert abs(counts["fc.weight"] - (1 - named) * 80) <= 1
    rest = {name: shape for name, shape in LAYERS.items() if name != "fc.weight"}
    left = (1 - total) * 280 - (1 - named) * 80
    for name, wanted in zip(rest, oracle(rest, 1 - left / 200, "erk"), strict=True):
        assert abs(counts[name] - wanted) < 1 + 1e-6


def test_a_map_that_cannot_give_the_sparsity_is_refused() -> None:
    with pytest.raises(InfeasibleSparsityError, match=r"cannot give 0\.9 in all"):
        active_counts(LAYERS, 0.9, {"stem": 0.0})
    with pytest.raises(InfeasibleSparsityError, match=r"cannot give 0\.1 in all"):
        active_counts(LAYERS, 0.1, {"*": 0.5})
    with pytest.raises(InfeasibleSparsityError, match=r"sparsity 1\.0 of 'fc'"):
        active_counts(LAYERS, 0.5, {"fc": 1.0})
    with pytest.raises(ValueError, match="no layer is called 'head'"):
        active_counts(LAYERS, 0.5, {"head": 0.5})


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)),
        nn.Linear(8, 10),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kept", "pruned"),
    [
        ((), ["0.weight", "2.0.weight", "2.1.weight", "3.weight"]),
        (("@first",), ["2.0.weight", "2.1.weight", "3.weight"]),
        (("@first", "@last"), ["2.0.weight", "2.1.weight"]),
        (("2.*",), ["0.weight", "3.weight"]),
        (("2.0", "3.weight"), ["0.weight", "2.1.weight"]),
    ],
)
def test_layers_that_are_kept_dense_do_not_count(kept: tuple, pruned: list[str]) -> None:
    model = network()
    assert list(choose_prunable(model, kept)) == pruned
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    method = Static(model, sparsity=0.75, keep_dense=kept)
    sizes = [before[name].numel() for name in pruned]
    assert sum(method.active().values()) == round(0.25 * sum(sizes))
    assert list(method.masks) == pruned
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name] * method.masks.get(name, 1))


def test_keeping_all_layers_dense_or_one_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="leaves no layer to prune"):
        choose_prunable(network(), ("*",))
    with pytest.raises(UserError, match=r"unknown prunable weight 'head'.*0\.weight"):
        choose_prunable(network(), ("head",))
