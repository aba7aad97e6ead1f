"""What holds for the state of every gradient correction, and for the model that it is used with."""

from __future__ import annotations

import copy
import gc
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

import torch

from agc.conformance.checks import DoesNotApply, refused
from agc.conformance.correction_cells import result, tiny
from agc.conformance.correction_problem import (
    Problem,
    attributes,
    classify,
    noisy_network,
    same,
    saved,
    through_a_file,
)
from agc.conformance.states import leaves, same_state
from agc.records import checkpoint
from agc.training.build import build
from agc.training.loop import train


def a_run_resumed_from_its_checkpoint_goes_on_with_the_same_bits(name: str) -> None:
    """After the first of two epochs; diagnostics and counted costs too."""
    cell, whole = tiny(name), build(tiny(name))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pt"
        for epoch, _ in train(whole):
            if epoch == 1:
                checkpoint.save(path, whole, epoch, {})
        resumed = build(cell)
        assert checkpoint.load(path, resumed)[0] == 1
    assert [epoch for epoch, _ in train(resumed, first_epoch=2)] == [2]
    assert same(result(resumed), result(whole)), "resumed, bits differ"
    assert resumed.correction.diagnostics() == whole.correction.diagnostics()
    assert resumed.meter == whole.meter, "resumed, counted costs differ"


def a_state_taken_within_an_epoch_goes_on_with_the_same_bits(name: str) -> None:
    """``state_dict`` and ``load_state_dict``, after one step and after three."""
    for within in (1, 3):
        whole, other = Problem(name), Problem(name)
        whole.epoch()
        whole.begin()
        for batch in whole.batches[:within]:
            whole.step(batch)
        # Those that renew their snapshot within an epoch must know where batches come from.
        other.begin()
        other.model.load_state_dict(whole.model.state_dict())
        for attribute in ("optimizer", "sparse", "correction"):
            state = through_a_file(getattr(whole, attribute).state_dict())
            getattr(other, attribute).load_state_dict(state)
        for problem in (whole, other):
            torch.manual_seed(9)
            for batch in problem.batches[within:]:
                problem.step(batch)
            problem.epoch()
        assert same(whole.result(), other.result()), f"after {within} steps, bits differ"
        assert whole.correction.diagnostics() == other.correction.diagnostics()


def a_network_that_cannot_be_copied_is_trained_all_the_same(name: str) -> None:
    """One that holds a lock: its weights, and all else that a run leaves, are those without."""
    plain, locked = Problem(name), Problem(name)
    locked.model.lock = Lock()
    for problem in (plain, locked):
        torch.manual_seed(9)
        try:
            problem.epoch()
            problem.epoch()
        except TypeError as error:
            raise AssertionError("the network is copied") from error
    assert same(plain.result(), locked.result()), "with a lock in the network, bits differ"


def what_forward_passes_assign_is_of_the_training_passes_alone(name: str) -> None:
    """A counter, a buffer that grows, and one that is registered in the first pass."""
    problem = Problem(name)
    model = problem.model
    model.calls, model.history = 0, torch.nn.Buffer(torch.zeros(0))

    def count(module: torch.nn.Module, args: object) -> None:
        module.calls += 1
        module.history = torch.cat([module.history, torch.ones(1)])
        if not hasattr(module, "cache"):
            module.register_buffer("cache", torch.ones(1), persistent=False)

    model.register_forward_pre_hook(count)
    for epoch in range(2):
        before = list(dict(model.named_buffers()))
        problem.begin()
        assert list(dict(model.named_buffers())) == before, "begin_epoch registers a buffer"
        for number, batch in enumerate(problem.batches, 1 + epoch * len(problem.batches)):
            problem.step(batch)
            counted = (model.calls, len(model.history))
            assert counted == (number, number), f"{counted} passes after {number} steps"


def it_leaves_nothing_on_the_model(name: str) -> None:
    """Neither while it is there, for who saves or copies the model, nor when it has gone."""
    problem = Problem(name)
    model = problem.model
    model.zero_grad()
    before = saved(model), attributes(model)
    problem.epoch()
    model.load_state_dict(fresh := noisy_network().state_dict())
    other = noisy_network()
    other.load_state_dict(fresh)
    for copied in (model, copy.deepcopy(model)):
        copied.zero_grad()
        assert saved(copied) == before[0], "the model is saved with something of the correction"
    assert attributes(copied) == attributes(other), "a copy has something of the correction"
    problem.correction.close()
    problem.meter = problem.step = problem.correction = None
    gc.collect()
    assert attributes(model) == attributes(other), "the correction has gone and left something"


def the_order_of_making_and_loading_does_not_matter(name: str) -> None:
    """Correction, sparse method, and the states of model and optimizer, at an epoch's end."""
    whole = Problem(name)
    whole.epoch()
    parts = ("model", "optimizer", "sparse", "correction")
    states = {part: through_a_file(getattr(whole, part).state_dict()) for part in parts}
    others = [Problem(name)]
    for part, state in states.items():
        getattr(others[0], part).load_state_dict(copy.deepcopy(state))
    for first in (False, True):
        others.append(Problem(name, loaded=copy.deepcopy(states), sparse_first=first))
    for problem in (whole, *others):
        assert same(problem.result(), whole.result()), "loaded, bits differ"
    for problem in (whole, *others):
        torch.manual_seed(9)
        problem.epoch()
        assert same(problem.result(), whole.result()), "trained on, bits differ"
        assert problem.correction.diagnostics() == whole.correction.diagnostics()


def a_state_is_a_copy(name: str) -> None:
    """What is kept in memory does not change when the training goes on, nor when it is loaded."""
    problem = Problem(name)
    problem.epoch()
    state = problem.correction.state_dict()
    kept = copy.deepcopy(state)
    for _ in range(2):
        problem.epoch()
        assert same_state(state, kept), "the state has changed"
        problem.correction.load_state_dict(state)


def a_state_of_a_wider_network_is_refused(name: str) -> None:
    """If there are tensors in it, and nothing is changed by it."""
    problem, other = Problem(name), Problem(name, width=8)
    for each in (problem, other):
        each.epoch()
    before = problem.correction.state_dict()
    if not any(torch.is_tensor(one) and one.ndim for one in leaves(before)):
        raise DoesNotApply("it keeps no tensor of the network's shapes")
    with refused(ValueError, "0.weight", "it was loaded"):
        problem.correction.load_state_dict(other.correction.state_dict())
    assert same_state(problem.correction.state_dict(), before), "it was loaded in part"


def other_parameters_in_the_model_are_noticed(name: str) -> None:
    """A step says which of those that it corrects is not the model's any more."""
    if name == "none":
        raise DoesNotApply("it corrects nothing")
    problem = Problem(name)
    problem.epoch()
    problem.model.load_state_dict(copy.deepcopy(problem.model.state_dict()), assign=True)
    batch = problem.batches[0]
    with refused(RuntimeError, "'0.weight'", "it goes on with tensors of before"):
        with problem.correction.point(batch, classify):
            classify(problem.model, batch).backward()
        problem.correction.correct(batch, classify)
