from __future__ import annotations

import pytest
import torch

from agc.conformance.method_problem import Problem
from tests.support.method_examples import GRADIENT, MASK, WEIGHT, four_by_four, momentum, step


def test_the_score_adds_the_weighted_gradient() -> None:
    method = four_by_four("mest", gradient_weight=0.5)
    method.gradients = {"weight": GRADIENT}
    scores = method.drop_scores("weight")
    # Active weights .5 .1 .7 .2 .3 .6 with gradients .9 .4 .9 .7 .9 .9 in absolute value.
    assert scores[MASK].tolist() == pytest.approx([0.95, 0.3, 1.15, 0.55, 0.75, 1.05])


@pytest.mark.parametrize(("weight", "lost"), [(0.0, (0, 1)), (1.0, (3, 2))])
def test_the_gradient_decides_which_weight_goes(weight: float, lost: tuple[int, int]) -> None:
    method = four_by_four("mest", gradient_weight=weight, regrow=False)
    gradient = GRADIENT.clone()
    gradient[3, 2], gradient[0, 1] = 0.0, 5.0
    gradient[1, 3] = gradient[2, 0] = 2.0
    # ⌊0.2 · 6⌋ = 1 goes: the smallest weight, .1 at (0, 1); with its gradient it scores 5.1, and
    # .6 at (3, 2) without one has the lowest score, .6 against .5 + .9.
    assert step(method, gradient)
    mask = method.masks["weight"]
    survivors = MASK.clone()
    survivors[lost] = False
    assert (mask & survivors).sum() == 5
    born = mask & ~survivors
    assert int(born.sum()) == 1
    # A grown weight is zero and has no momentum, also where one has just gone.
    assert (method.model.weight[~survivors] == 0).all()
    assert (momentum(method)[~survivors] == 0).all()
    assert torch.equal(method.model.weight[survivors], WEIGHT[survivors])
    assert method.dense_gradients == 0


def test_mutation_is_halved_and_ends_as_in_the_source() -> None:
    found = {}
    for mode in ("em", "em&s"):
        method = four_by_four("mest", mode=mode, total_steps=160)
        fractions = []
        for method.steps in (5, 85, 90, 115, 120, 160):
            fractions.append(method.current_fraction())
        found[mode] = fractions
    assert found["em"] == [0.2, 0.2, 0.1, 0.1, 0.0, 0.0]
    assert found["em&s"] == [0.5, 0.5, 0.25, 0.25, 0.0, 0.0]


def test_the_soft_bound_holds_more_weights_until_mutation_ends() -> None:
    problem = Problem("mest", mode="em&s")
    problem.begin()
    method = problem.method
    totals = [sum(method.active().values())]
    for _ in problem.steps():
        totals.append(sum(method.active().values()))
    counts, sizes = method.counts, {n: m.numel() for n, m in method.masks.items()}
    full = sum(min(sizes[n], c + c // 2) for n, c in counts.items())
    half = sum(min(sizes[n], c + int(0.25 * c)) for n, c in counts.items())
    # Mutation ends at step 9 of 12 and is halved from 6.75 on; updates come every 2 steps.
    assert totals == [full] * 8 + [half] * 2 + [sum(counts.values())] * 3
    assert method.active() == counts


def test_a_training_without_a_last_update_ends_at_the_target_all_the_same() -> None:
    problem = Problem("mest", mode="em&s", update_interval=100)
    problem.whole()
    assert problem.method.active() == problem.method.counts


def test_elastic_mutation_keeps_each_layer_and_replaces_a_fifth() -> None:
    problem = Problem("mest", gradient_weight=0.0)
    before, active = problem.masks(), problem.method.active()
    for changed in problem.steps(0, 2):
        now = problem.masks()
        gone = [int((a & ~b).sum()) for a, b in zip(before, now, strict=True)]
        if changed:
            assert 0 < sum(gone) <= sum(int(0.2 * n) for n in active.values())
        assert problem.method.active() == active
