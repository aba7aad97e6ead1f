"""What holds for every quantization; each check takes a name and asserts.

They train a small residual network on digits for a few steps, sparse, and with a correction where
the quantization allows one.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from agc import rng
from agc.conformance.cells import small_cell
from agc.conformance.checks import DoesNotApply, listed
from agc.conformance.correction_problem import same, through_a_file
from agc.evaluation.clean import evaluate_clean
from agc.gradients.gradient import preserved_buffers
from agc.gradients.modes import evaluating
from agc.grids.cell import Cell
from agc.planning.declared import units
from agc.quantization.shared.layers import GATE
from agc.records import checkpoint
from agc.registry import QUANTIZATIONS
from agc.sparsity.operations import watching
from agc.training.build import build, build_model, load_dataset
from agc.training.loop import train
from agc.training.run import Run

Choice = str | dict[str, Any]

DECISIVE = 4.0
"""Added to a logit, more than what a gate that has just begun tells images apart by."""


def _cell(choice: Choice, method: str = "rigl", **others: Any) -> Cell:
    return small_cell(method, quantization=choice, **others)


def trained(cell: Cell, epochs: int = 2, choice: int | None = None) -> Run:
    """The first epochs of a cell, or none of them; a gate prefers ``choice`` by far, if given."""
    run = build(cell)
    if choice is not None and (gate := getattr(run.model, GATE, None)) is not None:
        with torch.no_grad():
            gate.head_bias[choice] += DECISIVE
    if epochs == 0:
        return run
    for epoch, _ in train(run):
        if epoch == epochs:
            break
    return run


def result(run: Run) -> list[Tensor]:
    """Copies of weights, buffers, masks and the optimizer's tensors."""
    slots = [t for state in run.optimizer.state.values() for t in state.values()]
    tensors = [*run.model.state_dict().values(), *run.method.masks.values()]
    # What has not been seen is NaN, which is equal to nothing.
    return [t.clone().nan_to_num() for t in (*tensors, *filter(torch.is_tensor, slots))]


def switched_off_it_is_none(name: str) -> None:
    """With the options in ``off`` the weights have the bits of a run without quantization."""
    off = QUANTIZATIONS[name].target.off
    if off is None:
        raise DoesNotApply("it has no options with which it would change nothing")
    runs = [trained(_cell({"name": one, "options": o})) for one, o in ((name, off), ("none", {}))]
    found, plain = (dict(run.model.named_parameters()) for run in runs)
    differ = [key for key, weight in plain.items() if not torch.equal(weight, found[key])]
    assert not differ, f"{differ[0]} is another one than without quantization"


def names_masks_and_flops_are_those_of_the_float_network(name: str) -> None:
    """A state dict, prunable weights, how many are active, and their FLOPs."""
    one, plain = build(_cell(name)), build(_cell("none"))
    state, own = plain.model.state_dict(), one.model.state_dict()
    assert not state.keys() - own.keys(), f"the state dict lacks {state.keys() - own.keys()}"
    for key, tensor in state.items():
        assert own[key].shape == tensor.shape, f"{key} has another shape"
        assert torch.equal(own[key], tensor), f"{key} begins with another value"
    assert one.method.active() == plain.method.active()
    assert one.flops.layers == plain.flops.layers
    assert one.quantization.layers.keys() <= one.method.parameters.keys()


def what_is_pruned_is_zero_where_the_network_multiplies(name: str) -> None:
    """After training, in evaluation mode: rounding brings no pruned weight back."""
    run = trained(_cell(name))
    model, masks = run.model, run.method.masks
    images = next(iter(run.loader.epoch(1))).images[:2]
    kept = (rng.preserved(), preserved_buffers(model), evaluating(model))
    with kept[0], kept[1], kept[2], watching(model, run.method.parameters, images, True) as seen:
        model(images)
    for key, mask in masks.items():
        assert seen.used(key).any(), f"{key} is not multiplied with"
        assert not (seen.nonzero(key) & ~mask).any(), f"{key}: a pruned weight is not 0"


def no_global_stream_moves_or_matters(name: str) -> None:
    """Two runs have the same bits."""
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = rng.streams()
        results.append(result(trained(_cell(name))))
        assert rng.same(rng.streams(), before), "a global random stream moved"
    assert same(*results), "two runs differ"


def a_resumed_run_has_the_same_bits(name: str) -> None:
    """From a checkpoint after the first of three epochs."""
    cell = _cell(name, epochs=3)
    whole, second = trained(cell, 3), build(cell)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pt"
        checkpoint.save(path, trained(cell, 1), 1, {})
        checkpoint.load(path, second)
    for _ in train(second, 2):
        pass
    assert same(result(second), result(whole)), "the resumed run differs"


def its_state_is_of_numbers_and_tensors(name: str) -> None:
    """So a checkpoint can hold it."""
    state = trained(_cell(name)).quantization.state_dict()
    loaded = through_a_file(state)
    assert loaded.keys() == state.keys()


def evaluation_moves_nothing(name: str) -> None:
    """Neither buffers nor streams, and the answers to an image do not depend on its company."""
    run = trained(_cell(name))
    before, streams = result(run), rng.streams()
    with evaluating(run.model), torch.no_grad():
        images = next(iter(run.loader.epoch(1))).images[:8]
        together = run.model(images)
        alone = torch.cat([run.model(image[None]) for image in images])
    assert same(result(run), before), "an evaluation moved a buffer"
    assert rng.same(rng.streams(), streams), "an evaluation moved a random stream"
    assert torch.allclose(together, alone, atol=1e-4), "an image changes another one's answer"


def saved_weights_give_the_same_answers(name: str) -> None:
    """A new network that loads the state dict computes as the trained one does."""
    cell = _cell(name)
    run = trained(cell)
    other = build_model(cell, load_dataset(cell), "cpu")
    other.load_state_dict(through_a_file(run.model.state_dict()))
    assert evaluate_clean(other, run.test) == evaluate_clean(run.model, run.test)


def a_copy_computes_in_the_same_formats(name: str) -> None:
    """A deep copy gives the answers of the network that it was made of."""
    run = trained(_cell(name))
    other: nn.Module = copy.deepcopy(run.model)
    assert evaluate_clean(other, run.test) == evaluate_clean(run.model, run.test)


def a_batch_replays_exactly(name: str) -> None:
    """The gradient of a batch at the same weights is the same gradient, whenever it is asked for:
    the reference point of a correction sees the rounding of the step.
    """
    run = trained(_cell(name), 1)
    batch = next(iter(run.loader.epoch(2)))
    found = []
    for _ in range(2):
        with preserved_buffers(run.model):
            run.optimizer.zero_grad()
            run.loss_fn(run.model, batch).backward()
            found.append([p.grad.clone() for p in run.model.parameters() if p.grad is not None])
        torch.randn(3)
    assert same(*found), "the same batch has two gradients"


def declared_costs_are_finite_and_not_negative(name: str) -> None:
    """``cost`` with the default options."""
    cost = QUANTIZATIONS[name].target.cost(**QUANTIZATIONS.resolve(name, {}))
    for field in ("step", "snapshot", "prepared_pass", "tensors"):
        value = getattr(cost, field)
        assert math.isfinite(value), f"{field} is {value}"
        assert value >= 0, f"{field} is {value}"


def the_memory_format_does_not_matter(name: str) -> None:
    """Two steps in channels_last move the weights as two in the plain format do, but for sums that
    are rounded in another order, and numbers that go to the neighbouring point of a grid by that.
    The masks stay, and a gate gives all images its finest numbers: a last bit may decide which
    weight grows, and which bits an image gets.
    """
    begun, plain, other = (
        trained(_cell(name, "static", channels_last=last), epochs, choice=-1).model
        for last, epochs in ((False, 0), (False, 1), (True, 1))
    )
    apart = moved = 0.0
    for key, weight in plain.named_parameters():
        apart += (other.get_parameter(key) - weight).square().sum().item()
        moved += (begun.get_parameter(key) - weight).square().sum().item()
    assert moved > 0
    assert apart < 5e-2 * moved, f"moved by {moved:g}, and {apart:g} apart"


def trains_in_a_cell(name: str) -> None:
    """Two short epochs with RigL, plainly and, where it is allowed, corrected by AGC, dense, and
    against attacks: every loss is finite.
    """
    for others in ({}, {"correction": "agc"}, {"method": "dense"}, {"objective": "pgd-at"}):
        run = build(_cell(name, **others))
        for _, losses in train(run):
            assert math.isfinite(losses.sum().item()), f"{others}: the loss is not finite"


def counted_units_are_the_declared_ones(name: str) -> None:
    """Over two epochs."""
    cell = _cell(name, "dense")
    run = trained(cell)
    counted, declared = run.meter.units(run.loader.images_per_epoch), units(cell)
    assert math.isclose(counted, declared), f"{counted}, {declared} declared"


CHECKS = listed(
    switched_off_it_is_none,
    names_masks_and_flops_are_those_of_the_float_network,
    what_is_pruned_is_zero_where_the_network_multiplies,
    no_global_stream_moves_or_matters,
    a_resumed_run_has_the_same_bits,
    its_state_is_of_numbers_and_tensors,
    evaluation_moves_nothing,
    saved_weights_give_the_same_answers,
    a_copy_computes_in_the_same_formats,
    a_batch_replays_exactly,
    the_memory_format_does_not_matter,
    declared_costs_are_finite_and_not_negative,
)

IN_CELLS = listed(trains_in_a_cell, counted_units_are_the_declared_ones)
