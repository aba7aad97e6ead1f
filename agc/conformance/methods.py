"""What holds for every sparse-training method; each check takes a name and asserts."""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor, nn

from agc.conformance.cells import small_cell, train_cell
from agc.conformance.checks import listed
from agc.conformance.method_problem import (
    OPTIMIZERS,
    Batch,
    Problem,
    loss_fn,
    network,
    same,
)
from agc.conformance.method_states import (
    a_resumed_run_has_the_same_bits,
    a_state_is_a_copy,
    a_state_of_something_else_is_refused,
    a_step_left_out_for_an_overflow_changes_nothing,
    other_parameters_in_the_model_are_noticed,
    the_order_of_loading_does_not_matter,
)
from agc.conformance.seen import compare_zeros
from agc.registry import METHODS, OBJECTIVES
from agc.sparsity.distributions import InfeasibleSparsityError
from agc.sparsity.masks import prunable_parameters


def sparsity_is_exact(name: str) -> None:
    """The finished network has the sparsity asked for, by count; no step is sparser than that."""
    for optimizer in OPTIMIZERS:
        problem = Problem(name, optimizer)
        problem.begin()
        method = problem.method
        total = sum(p.numel() for p in method.parameters.values())
        wanted = round((1 - method.target) * total)
        if method.exact:
            assert method.target == problem.sparsity, "an exact method changes its target"
        else:
            message = f"target {method.target} is no number of {total} weights"
            assert abs((1 - method.target) * total - wanted) < 1e-6, message
        for _ in chain([False], problem.steps()):
            active = sum(method.active().values())
            assert active >= wanted, f"{active} active weights in training, {wanted} asked for"
            assert method.exploration_rate() >= 1 - method.sparsity() - 1e-12
            assert all(method.active().values()), "a layer has no weight left"
        problem.end()
        active = sum(method.active().values())
        assert active == wanted, f"{active} active weights at the end, {wanted} asked for"
        assert abs(method.sparsity() - (1 - active / total)) < 1e-12


def pruned_weights_are_zero(name: str) -> None:
    """Weights are 0 where masked, and so is the optimizer's state unless weights live on hidden."""
    for optimizer, slots in (("sgd", 1), ("adamw", 2)):
        problem = Problem(name, optimizer)
        problem.begin()
        for _ in chain([False], problem.steps()):
            for layer, parameter in problem.method.parameters.items():
                pruned = ~problem.method.masks[layer]
                assert (parameter[pruned] == 0).all(), f"{layer}: a pruned weight is not 0"
                state = problem.optimizer.state[parameter].values()
                kept = [t for t in state if t.ndim > 0]
                assert len(kept) in (0, slots), f"{layer}: the optimizer's state is {len(kept)}"
                if not problem.method.hides_weights:
                    zero = all((tensor[pruned] == 0).all() for tensor in kept)
                    assert zero, f"{layer}: optimizer state at a pruned weight"


def only_prunable_tensors_are_masked(name: str) -> None:
    """Masks belong to convolutions and linear layers; biases and normalisation have none."""
    problem = Problem(name)
    assert set(problem.method.masks) <= set(prunable_parameters(problem.model))
    for layer, mask in problem.method.masks.items():
        assert mask.dtype == torch.bool
        assert mask.shape == problem.method.parameters[layer].shape


def a_step_without_a_change_changes_no_mask(name: str) -> None:
    """``updating`` says when the topology changes."""
    problem = Problem(name)
    problem.begin()
    before = problem.masks()
    for changed in problem.steps():
        now = problem.masks()
        assert changed or same(before, now), "a mask changed in a step that reported no change"
        before = now


def storages_survive(name: str) -> None:
    """Weights and masks stay where they are, in their memory format."""
    problem = Problem(name)
    tensors = [*problem.model.parameters(), *problem.method.masks.values()]
    before = [(t.data_ptr(), t.stride()) for t in tensors]
    problem.whole()
    after = [*problem.model.parameters(), *problem.method.masks.values()]
    assert [(t.data_ptr(), t.stride()) for t in after] == before


def choices_follow_from_the_seed(name: str) -> None:
    """The same seed gives the same bits, and no global random stream moves or matters."""
    runs = []
    for global_seed in (1, 2):
        problem = Problem(name)
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        problem.whole()
        assert torch.equal(torch.get_rng_state(), before), "a global random stream moved"
        runs.append(problem.state())
    assert same(*runs), "two runs of one seed differ"


def frozen_layers_stay(name: str) -> None:
    """A layer that is frozen after the preparation keeps its weights and its mask."""
    problem = Problem(name)
    problem.begin()
    frozen = problem.model[0].weight.requires_grad_(False)
    before = frozen.clone(), problem.method.masks["0.weight"].clone()
    for _ in problem.steps():
        pass
    assert same([frozen, problem.method.masks["0.weight"]], [*before])


def what_is_frozen_is_pruned_or_refused_by_name(name: str) -> None:
    """With a layer frozen from the beginning, the sparsity is reached, or an error names it."""
    for layer in ("0", "3", "7"):
        model = network()
        model.get_submodule(layer).requires_grad_(False)
        try:
            problem = Problem(name, model=model)
        except ValueError as error:
            if f"{layer}.weight" not in str(error):
                raise AssertionError(f"{error}: the frozen layer is not named") from error
            continue
        problem.whole()
        method = problem.method
        total = sum(p.numel() for p in method.parameters.values())
        wanted = round((1 - method.target) * total)
        active = sum(method.active().values())
        assert active == wanted, f"{layer} is frozen: {active} active weights, not {wanted}"


def sparsity_is_what_operations_see(name: str) -> None:
    """Operations multiply with every prunable weight, and with none that the masks prune, between
    steps and within them.
    """
    problem = Problem(name)
    model, method = problem.model, problem.method

    def look(batch: Batch, masks: dict[str, Tensor] | None) -> None:
        used = compare_zeros(model, method.parameters, batch, lambda: loss_fn(model, batch), masks)
        assert used == {*method.parameters}, "a prunable weight is not multiplied with"

    problem.begin()
    look(problem.batches[0], method.masks)
    for batch in problem.batches:
        with method.updating():
            problem.optimizer.zero_grad()
            with method.shown(batch, loss_fn):
                # One that is not repeatable shows a sample, not its masks.
                look(batch, method.masks if method.repeatable else None)
                loss = loss_fn(model, batch)
                loss.backward()
                method.observe(loss.detach())
            problem.optimizer.step()
        look(batch, method.masks)
    problem.end()
    look(problem.batches[0], method.masks)


def small_and_dense_layers_are_survived(name: str) -> None:
    """A layer that is wholly dense and one with a single active weight."""
    if "distribution" not in METHODS.options(name).model_fields:
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 1, 1), nn.Flatten(), nn.Linear(16, 7)
        )
    problem = Problem(
        name, model=model, distribution={"0": 0.0, "2": 0.75}, sparsity=1 - (72 + 1 + 28) / 188
    )
    if problem.method.exact:
        assert problem.method.sparsity() <= problem.sparsity + 1e-12
    problem.whole()
    assert all(torch.isfinite(p).all() for p in problem.model.parameters())


def extreme_sparsity_is_possible_or_refused(name: str) -> None:
    """0.99 on the smallest network trains, or says which layer would be empty."""
    try:
        problem = Problem(name, sparsity=0.99)
        problem.whole()
    except InfeasibleSparsityError:
        return
    assert all(problem.method.active().values())
    assert all(torch.isfinite(p).all() for p in problem.model.parameters())


def trains_in_cells(name: str) -> None:
    """Two short epochs on digits for each objective, corrected by AGC, and plainly by AdamW."""
    for objective in OBJECTIVES.names():
        train_cell(small_cell(name, objective=objective, correction="agc"))
    adamw = {"name": "adamw", "lr": 0.002, "momentum": 0.9, "nesterov": False, "weight_decay": 0.01}
    train_cell(small_cell(name, optimizer=adamw))


CHECKS = listed(
    sparsity_is_exact,
    pruned_weights_are_zero,
    only_prunable_tensors_are_masked,
    a_step_without_a_change_changes_no_mask,
    storages_survive,
    choices_follow_from_the_seed,
    a_resumed_run_has_the_same_bits,
    the_order_of_loading_does_not_matter,
    a_step_left_out_for_an_overflow_changes_nothing,
    a_state_is_a_copy,
    a_state_of_something_else_is_refused,
    other_parameters_in_the_model_are_noticed,
    frozen_layers_stay,
    what_is_frozen_is_pruned_or_refused_by_name,
    sparsity_is_what_operations_see,
    small_and_dense_layers_are_survived,
    extreme_sparsity_is_possible_or_refused,
)

IN_CELLS = listed(trains_in_cells)
