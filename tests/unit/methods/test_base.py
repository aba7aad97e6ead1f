"""What all sparse methods do before the first step, and with a state that they are given."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from agc.conformance.method_problem import Problem
from agc.registry import METHODS


@pytest.mark.parametrize("name", METHODS.names())
def test_what_the_first_masks_zeroed_is_gone_with_the_first_step(name: str) -> None:
    problem = Problem(name)
    assert "unmasked" not in problem.method.state_dict()
    copies = [weakref.ref(one.before) for one in problem.method.unmasked.kept]
    problem.begin()
    next(problem.steps())
    gc.collect()
    assert problem.method.unmasked is None
    assert not any(copy() is not None for copy in copies)


def test_masks_of_ones_own_before_the_first_step_find_the_initial_weights() -> None:
    dense = Problem("dense")
    problem = Problem("static")
    weights = {n: p.detach().clone() for n, p in dense.method.parameters.items()}
    for turn in range(2):
        masks = {
            name: (torch.arange(mask.numel()) % 3 == turn).reshape(mask.shape)
            for name, mask in problem.method.masks.items()
        }
        problem.method.set_masks(masks)
        for name, weight in problem.method.parameters.items():
            assert torch.equal(weight, weights[name] * masks[name])
    next(problem.steps())
    problem.method.set_masks({name: torch.ones_like(mask) for name, mask in masks.items()})
    for name, weight in problem.method.parameters.items():
        assert not weight[~masks[name]].any()
