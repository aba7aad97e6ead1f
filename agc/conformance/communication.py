"""What holds for every communication; each check takes a name and asserts."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from agc.communication.base import Communication
from agc.conformance.cells import small_cell, train_cell
from agc.conformance.checks import DoesNotApply, listed, refused
from agc.conformance.correction_problem import same, through_a_file
from agc.conformance.optimizers import Batch, batches, loss_fn, network
from agc.corrections.svrg import SVRG
from agc.errors import UserError
from agc.grids.cell import Cell, make_cell
from agc.methods.rigl import RigL
from agc.planning.declared import units
from agc.registry import COMMUNICATION
from agc.training.build import build
from agc.training.loop import train
from agc.training.step import Step

RATE = 1 / 64
"""A power of two, so that it makes no difference where it is multiplied with."""

WORKERS = 4


def options_of(name: str, **wanted: Any) -> dict[str, Any]:
    """Those of ``wanted`` that an entry has."""
    known = COMMUNICATION.options(name).model_fields
    return {key: value for key, value in wanted.items() if key in known}


class Problem:
    """A network with batch norm, trained sparsely by RigL with weight decay and momentum.

    Args:
        name: of the communication.
        corrected: by SVRG, too.
        options: of the communication, as far as it has them.
    """

    def __init__(self, name: str, *, corrected: bool = False, **options: Any) -> None:
        self.model = network()
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=RATE, momentum=0.875, weight_decay=2**-9)
        self.sparse = RigL(
            self.model, self.optimizer, sparsity=0.5, total_steps=48, update_interval=3
        )
        self.communication: Communication = COMMUNICATION.create(
            name, self.model, self.optimizer, options=options_of(name, **options), seed=0
        )
        parts = (self.model, self.optimizer, loss_fn, self.sparse)
        correction = SVRG(self.model) if corrected else None
        self.step = Step(*parts, correction, communication=self.communication)
        if corrected:
            self.step.begin_epoch(batches())

    def run(self, found: list[Batch]) -> list[float]:
        """The losses of some steps."""
        return [self.step(batch).item() for batch in found]

    def result(self) -> list[Tensor]:
        """Copies of weights, buffers, masks and what is kept for each weight."""
        slots = [t for state in self.optimizer.state.values() for t in state.values()]
        tensors = [*self.model.state_dict().values(), *self.sparse.masks.values()]
        return [t.clone() for t in (*tensors, *filter(torch.is_tensor, slots))]

    def weights(self) -> list[Tensor]:
        """Copies of weights, buffers and masks."""
        return [t.clone() for t in (*self.model.state_dict().values(), *self.sparse.masks.values())]


def one_worker_that_changes_nothing_is_plain_training(name: str) -> None:
    """With one worker and the options ``off`` of the entry: the bits of ``none``."""
    off = COMMUNICATION[name].target.off
    plain, other = Problem("none"), Problem(name, workers=1, **off)
    assert plain.run(batches()) == other.run(batches()), "losses differ from those of `none`"
    assert same(plain.weights(), other.weights()), "bits differ from those of `none`"


def several_that_change_nothing_are_the_control(name: str) -> None:
    """With the options ``off`` it differs from all-reduce by rounding alone."""
    if name == "none":
        raise DoesNotApply("it has one worker")
    control, other = Problem("all-reduce"), Problem(name, **COMMUNICATION[name].target.off)
    control.run(batches())
    other.run(batches())
    for one, two in zip(control.weights(), other.weights(), strict=True):
        assert torch.allclose(one.float(), two.float(), rtol=0, atol=1e-5), "not all-reduce"


def what_is_pruned_stays_zero(name: str) -> None:
    """Weights after each step, and whatever is kept for them, in tensors of their shape; of the
    server, too, where it compresses.
    """
    problem = Problem(name, two_way=True)
    for batch in batches():
        problem.step(batch)
        for layer, mask in problem.sparse.masks.items():
            weight = problem.sparse.parameters[layer]
            assert not weight[~mask].any(), f"{layer}: a pruned weight is not 0"
            for slot, kept in problem.optimizer.state.get(weight, {}).items():
                if torch.is_tensor(kept) and kept.shape == weight.shape:
                    assert not kept[~mask].any(), f"{layer}: {slot} at a pruned weight is not 0"


def the_loss_falls(name: str) -> None:
    """Over four passes of a problem that a network of this size can learn."""
    problem = Problem(name)
    first = sum(problem.run(batches()))
    last = [sum(problem.run(batches())) for _ in range(3)][-1]
    assert math.isfinite(last), "a loss is not finite"
    assert last < first, f"the loss went from {first:.3f} to {last:.3f}"


def no_global_stream_moves_or_matters(name: str) -> None:
    """Two runs have the same bits, corrected ones too."""
    results = []
    for seed in (1, 2):
        problem = Problem(name, corrected=True)
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        problem.run(batches())
        assert torch.equal(torch.get_rng_state(), before), "a global random stream moved"
        results.append(problem.result())
    assert same(*results), "two runs differ"


def a_resumed_run_has_the_same_bits(name: str) -> None:
    """Through a file, after one step and after seven."""
    found, whole = batches(), Problem(name)
    whole.run(found)
    for after in (1, 7):
        first, second = Problem(name), Problem(name)
        first.run(found[:after])
        for attribute in ("model", "optimizer", "sparse", "communication"):
            part = getattr(first, attribute)
            if hasattr(part, "state_dict"):
                getattr(second, attribute).load_state_dict(through_a_file(part.state_dict()))
        second.run(found[after:])
        assert same(second.result(), whole.result()), f"resumed after {after} steps"


def storages_survive(name: str) -> None:
    """Weights stay where they are: masks, views and compiled graphs hold them."""
    problem = Problem(name)
    before = [p.data_ptr() for p in problem.model.parameters()]
    problem.run(batches())
    assert [p.data_ptr() for p in problem.model.parameters()] == before


def a_schedule_reaches_it(name: str) -> None:
    """Another learning rate in ``param_groups`` gives another step."""
    results = []
    for factor in (1.0, 0.1):
        problem = Problem(name)
        problem.run(batches()[:2])
        problem.optimizer.param_groups[0]["lr"] *= factor
        problem.run(batches()[2:])
        results.append(problem.result())
    assert not same(*results), "a tenth of the learning rate gives the same weights"


def a_batch_that_cannot_be_shared_is_refused(name: str) -> None:
    """In a cell when it is planned, and in a loop of one's own when it comes."""
    if name == "none":
        raise DoesNotApply("it has one worker")
    (images, labels), *_ = batches()
    with refused(UserError, "cannot be shared evenly", "a batch of 15 was shared by 4"):
        Problem(name).step((images[:15], labels[:15]))
    with refused(UserError, "cannot be shared evenly", "a batch of 64 was shared by 7"):
        _cell(name, "dense", options={"workers": 7})


def methods_of_another_step_are_refused(name: str) -> None:
    """Those whose weights the forward pass does not see, and corrections that move the point."""
    if name == "none":
        raise DoesNotApply("it has one worker")
    for method, correction in (("n:m", "none"), ("deepr", "none"), ("rigl", "sam")):
        with refused(UserError, f"communication {name!r}", f"{method}, {correction}: not refused"):
            _cell(name, method, correction)


def declared_costs_are_finite_and_not_negative(name: str) -> None:
    """``cost`` with the default options."""
    cost = COMMUNICATION[name].target.cost(**COMMUNICATION.resolve(name, {}))
    for field in ("step", "snapshot", "prepared_pass", "tensors"):
        value = getattr(cost, field)
        assert math.isfinite(value), f"{field} is {value}"
        assert value >= 0, f"{field} is {value}"


def trains_in_a_cell(name: str) -> None:
    """Two short epochs on digits with RigL, plainly and corrected by AGC."""
    for correction in ("none", "agc"):
        train_cell(_cell(name, "rigl", correction))


def counted_units_are_the_declared_ones(name: str) -> None:
    """Over two epochs, plain, corrected, and attacked."""
    for correction, objective in (("none", "standard"), ("agc", "standard"), ("none", "pgd-at")):
        cell = _cell(name, "dense", correction, objective)
        run = build(cell)
        for _ in train(run):
            pass
        counted, declared = run.meter.units(run.loader.images_per_epoch), units(cell)
        what = f"{correction}, {objective}"
        assert math.isclose(counted, declared), f"{what}: {counted}, {declared} declared"


def _cell(
    name: str,
    method: str,
    correction: str = "none",
    objective: str = "standard",
    options: dict[str, Any] | None = None,
) -> Cell:
    chosen = {"name": "sgd", "lr": 0.02, "nesterov": False}
    cell = small_cell(method, correction=correction, objective=objective, optimizer=chosen)
    entry = {"name": name, "options": options or options_of(name, workers=WORKERS)}
    return make_cell({**cell.model_dump(), "communication": entry})


CHECKS = listed(
    one_worker_that_changes_nothing_is_plain_training,
    several_that_change_nothing_are_the_control,
    what_is_pruned_stays_zero,
    the_loss_falls,
    no_global_stream_moves_or_matters,
    a_resumed_run_has_the_same_bits,
    storages_survive,
    a_schedule_reaches_it,
    a_batch_that_cannot_be_shared_is_refused,
    methods_of_another_step_are_refused,
    declared_costs_are_finite_and_not_negative,
)

IN_CELLS = listed(trains_in_a_cell, counted_units_are_the_declared_ones)
