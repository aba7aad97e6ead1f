"""What holds for every gradient correction; each check takes a name and asserts."""

from __future__ import annotations

import math
import random

import numpy as np
import torch
from torch import Tensor

from agc.conformance.checks import DoesNotApply, listed
from agc.conformance.correction_cells import (
    STEPS,
    counted,
    objective_named,
    plain,
    run_with,
    switched_off,
    tiny,
    trained,
)
from agc.conformance.correction_problem import (
    Problem,
    classify,
    loader,
    same,
    stream_states,
)
from agc.conformance.correction_states import (
    a_network_that_cannot_be_copied_is_trained_all_the_same,
    a_run_resumed_from_its_checkpoint_goes_on_with_the_same_bits,
    a_state_is_a_copy,
    a_state_of_a_wider_network_is_refused,
    a_state_taken_within_an_epoch_goes_on_with_the_same_bits,
    it_leaves_nothing_on_the_model,
    other_parameters_in_the_model_are_noticed,
    the_order_of_making_and_loading_does_not_matter,
    what_forward_passes_assign_is_of_the_training_passes_alone,
)
from agc.registry import CORRECTIONS
from agc.training.build import build
from agc.training.loop import train

OBJECTIVES = ("standard", "pgd-at")

SETTINGS = (("dense", "float32"), ("static", "float32"), ("rigl", "bfloat16"))
"""Methods and precisions."""

OFF = "; its `off` names the options with which it changes nothing, or is None if there are none"


def switched_off_a_run_of_the_suite_has_the_bits_of_a_plain_one(name: str) -> None:
    """Weights, running statistics, masks, momentum and losses, in standard and robust training."""
    for objective in OBJECTIVES:
        other, expected = plain(CORRECTIONS[name].target.fixed_batches, objective)
        with switched_off(name) as options:
            cell = tiny(name, options, objective=objective_named(objective))
            run, found = trained(cell)
        assert run.ledger.updates == other.ledger.updates == 2
        assert any("running_mean" in key for key in run.model.state_dict())
        assert same(found, expected), f"{objective}: bits differ from those of a plain run{OFF}"


def switched_off_a_loop_of_ones_own_has_the_bits_of_a_plain_one(name: str) -> None:
    """Here dropout draws from the global stream."""
    results = []
    with switched_off(name) as options:
        for problem in (Problem("none"), Problem(name, **options)):
            torch.manual_seed(9)
            for _ in range(2):
                problem.epoch()
            results.append(problem.result())
    assert same(*results), f"bits differ from those of a plain loop{OFF}"


def switched_off_a_loader_s_draws_stay_the_same(name: str) -> None:
    """A torch loader with generators of its own, and augmentation by all global streams."""
    results = []
    with switched_off(name) as options:
        for problem in (Problem("none"), Problem(name, **options)):
            problem.batches = loader()
            for _ in range(2):
                problem.epoch()
            results.append([*problem.result(), *stream_states(problem.batches)])
    assert same(*results), f"bits or random streams differ from those of a plain loop{OFF}"


def switched_on_it_changes_the_weights(name: str) -> None:
    """Else the checks of what a correction leaves alone would say nothing."""
    if name == "none":
        raise DoesNotApply("it corrects nothing")
    _, found = trained(tiny(name))
    _, expected = plain(CORRECTIONS[name].target.fixed_batches)
    assert not same(found, expected), "with its default options it changes nothing"


def only_weights_and_gradients_are_ever_touched(name: str) -> None:
    """Buffers, momentum, masks, flags, modes and the global stream stay as they were in each call,
    and the weights are back when the optimizer makes its step.
    """
    problem = Problem(name)
    torch.manual_seed(5)
    problem.epoch()
    model, batch = problem.model, problem.batches[1]

    def left_alone() -> list[Tensor]:
        flags = [[p.requires_grad for p in model.parameters()]]
        modes = [[module.training for module in model.modules()]]
        momentum = [s["momentum_buffer"] for s in problem.optimizer.state.values()]
        tensors = [*model.buffers(), *momentum, *problem.sparse.masks.values()]
        return [
            *(t.clone() for t in [*tensors, torch.get_rng_state()]),
            *(torch.tensor(f) for f in flags + modes),
        ]

    def weights() -> list[Tensor]:
        return [p.detach().clone() for p in model.parameters()]

    before, home = left_alone(), weights()
    problem.begin()
    assert same(left_alone(), before), "begin_epoch leaves a trace"
    assert same(weights(), home), "begin_epoch moves the weights"
    problem.optimizer.zero_grad()
    with problem.correction.point(batch, classify):
        assert same(left_alone(), before), "point leaves a trace"
        classify(model, batch).backward()
    before = left_alone()
    problem.correction.correct(batch, classify)
    assert same(left_alone(), before), "correct leaves a trace"
    assert same(weights(), home), "correct leaves other weights"


def global_streams_do_not_move_and_what_is_pruned_is_zero_after_each_step(name: str) -> None:
    """Weights and momentum, over a whole run of the suite."""
    run = build(tiny(name))
    seen = []

    def check() -> None:
        for key, mask in run.method.masks.items():
            weight = run.method.parameters[key]
            momentum = run.optimizer.state[weight]["momentum_buffer"]
            assert not weight[~mask].any(), f"{key}: a pruned weight is not 0"
            assert not momentum[~mask].any(), f"{key}: momentum at a pruned weight"
            seen.append(int((~mask).sum()))

    streams = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    for _ in train(run, after_step=check):
        pass
    assert torch.equal(torch.get_rng_state(), streams[0]), "torch's random stream moved"
    assert random.getstate() == streams[1], "Python's random stream moved"
    assert np.array_equal(np.random.get_state()[1], streams[2]), "NumPy's random stream moved"
    assert len(seen) == 2 * STEPS * len(run.method.masks)
    assert max(seen) > 0
    assert run.ledger.updates == 2


def declared_costs_are_finite_and_not_negative(name: str) -> None:
    """``cost`` with the default options."""
    cost = CORRECTIONS[name].target.cost(**CORRECTIONS.resolve(name, {}))
    for field in ("step", "snapshot", "prepared_pass", "tensors"):
        value = getattr(cost, field)
        assert math.isfinite(value), f"{field} is {value}"
        assert value >= 0, f"{field} is {value}"


def counted_units_are_the_declared_ones(name: str) -> None:
    """In the second epoch; in the first there may be nothing yet to correct by."""
    for objective in OBJECTIVES:
        (first, both), declared = counted(name, objective)
        second = both - first
        assert second == declared, f"{objective}: {second} units counted, {declared} declared"
        assert first <= declared, f"{objective}: {first} units in the first epoch"


def it_trains_with_every_method_and_precision(name: str) -> None:
    """Dense, with fixed masks, and with RigL in bfloat16; what it says of itself are numbers."""
    for method, precision in SETTINGS:
        run = run_with(name, method, precision)
        assert all(p.dtype == torch.float32 for p in run.model.parameters())
        assert run.ledger.updates == (2 if method == "rigl" else 0)
        assert abs(run.method.sparsity() - run.cell.sparsity) < 1e-3
        for key, value in run.correction.diagnostics().items():
            assert isinstance(value, float), f"{key} is no float"
            assert math.isfinite(value), f"{key} is {value}"


CHECKS = listed(
    switched_off_a_run_of_the_suite_has_the_bits_of_a_plain_one,
    switched_off_a_loop_of_ones_own_has_the_bits_of_a_plain_one,
    switched_off_a_loader_s_draws_stay_the_same,
    switched_on_it_changes_the_weights,
    only_weights_and_gradients_are_ever_touched,
    global_streams_do_not_move_and_what_is_pruned_is_zero_after_each_step,
    a_run_resumed_from_its_checkpoint_goes_on_with_the_same_bits,
    a_state_taken_within_an_epoch_goes_on_with_the_same_bits,
    a_network_that_cannot_be_copied_is_trained_all_the_same,
    what_forward_passes_assign_is_of_the_training_passes_alone,
    it_leaves_nothing_on_the_model,
    the_order_of_making_and_loading_does_not_matter,
    a_state_is_a_copy,
    a_state_of_a_wider_network_is_refused,
    other_parameters_in_the_model_are_noticed,
    declared_costs_are_finite_and_not_negative,
    counted_units_are_the_declared_ones,
    it_trains_with_every_method_and_precision,
)
