"""What holds for every optimizer; each check takes a name and asserts."""

from __future__ import annotations

import copy
import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from agc import rng
from agc.conformance.cells import small_cell, train_cell
from agc.conformance.checks import listed
from agc.conformance.correction_problem import same, through_a_file
from agc.grids.cell import Cell
from agc.methods.rigl import RigL
from agc.optimizers.base import make_optimizer, optimizer_cost
from agc.planning.declared import units
from agc.training.build import build
from agc.training.loop import train
from agc.training.step import Step

RECIPE = {"lr": 0.02, "momentum": 0.9, "nesterov": False, "weight_decay": 1e-3}
STEPS = 12

CERTAIN = {"cgq": {"ls_prob": 1.0}}
"""Where a cost is declared in expectation: options with which each step has it."""

Batch = tuple[Tensor, Tensor]


def network() -> nn.Module:
    """Two linear layers with normalisation between; the last bias is frozen."""
    with rng.isolated(3):
        model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 4))
    model[3].bias.requires_grad_(False)
    return model


def batches() -> list[Batch]:
    """As many as steps, of labels that a linear map gives."""
    generator = rng.generator(0, "batches")
    teacher = torch.randn(6, 4, generator=generator)
    images = [torch.randn(16, 6, generator=generator) for _ in range(STEPS)]
    return [(x, (x @ teacher).argmax(dim=1)) for x in images]


def loss_fn(model: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy."""
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


class Problem:
    """The network trained sparsely by RigL.

    Args:
        name: of the optimizer.
        loaded: states of model and optimizer, loaded before the method is made.
    """

    def __init__(
        self, name: str, loaded: tuple[dict[str, Any], dict[str, Any]] | None = None
    ) -> None:
        self.model = network()
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(name, trained, {}, **RECIPE)
        if loaded is not None:
            self.model.load_state_dict(loaded[0])
            self.optimizer.load_state_dict(loaded[1])
        self.sparse = RigL(
            self.model, self.optimizer, sparsity=0.5, total_steps=4 * STEPS, update_interval=3
        )
        self.step = Step(self.model, self.optimizer, loss_fn, self.sparse)

    def run(self, found: list[Batch]) -> list[float]:
        """The losses of some steps."""
        return [self.step(batch).item() for batch in found]

    def result(self) -> list[Tensor]:
        """Copies of weights, buffers, masks and the optimizer's tensors."""
        slots = [t for state in self.optimizer.state.values() for t in state.values()]
        tensors = [*self.model.state_dict().values(), *self.sparse.masks.values()]
        return [t.clone() for t in (*tensors, *filter(torch.is_tensor, slots))]


def the_loss_falls(name: str) -> None:
    """Over four passes of a problem that a network of this size can learn."""
    problem, found = Problem(name), batches()
    first = problem.run(found)
    last = [problem.run(found) for _ in range(3)][-1]
    assert all(math.isfinite(loss) for loss in last), "a loss is not finite"
    assert sum(last) < sum(first), f"the loss went from {sum(first):.3f} to {sum(last):.3f}"


def what_has_no_gradient_stays(name: str) -> None:
    """A frozen weight, and one that no batch reaches: weight decay does not move it either."""
    problem = Problem(name)
    frozen, lonely = problem.model[3].bias, nn.Parameter(torch.ones(3))
    problem.optimizer.add_param_group({"params": [lonely]})
    before = [frozen.clone(), lonely.detach().clone()]
    problem.run(batches())
    assert same([frozen, lonely], before), "a weight without a gradient moved"


def what_is_pruned_stays_zero(name: str) -> None:
    """Weights after each step, and what the optimizer keeps for them, in tensors of their shape."""
    problem = Problem(name)
    for batch in batches():
        problem.step(batch)
        for layer, mask in problem.sparse.masks.items():
            weight = problem.sparse.parameters[layer]
            assert not weight[~mask].any(), f"{layer}: a pruned weight is not 0"
            for slot, kept in problem.optimizer.state.get(weight, {}).items():
                if torch.is_tensor(kept) and kept.shape == weight.shape:
                    assert not kept[~mask].any(), f"{layer}: {slot} at a pruned weight is not 0"


def no_global_stream_moves_or_matters(name: str) -> None:
    """Two runs have the same bits."""
    results = []
    for seed in (1, 2):
        problem = Problem(name)
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        problem.run(batches())
        assert torch.equal(torch.get_rng_state(), before), "a global random stream moved"
        results.append(problem.result())
    assert same(*results), "two runs differ"


def a_resumed_run_has_the_same_bits(name: str) -> None:
    """``state_dict`` and ``load_state_dict``, through a file, after one step and after seven; the
    sparse method is made before model and optimizer are loaded, or after that.
    """
    found, whole = batches(), Problem(name)
    whole.run(found)
    for after in (1, 7):
        first, second = Problem(name), Problem(name)
        first.run(found[:after])
        for attribute in ("model", "optimizer", "sparse"):
            state = through_a_file(getattr(first, attribute).state_dict())
            getattr(second, attribute).load_state_dict(state)
        parts = first.model, first.optimizer, first.sparse
        model, slots, sparse = (through_a_file(part.state_dict()) for part in parts)
        third = Problem(name, (model, slots))
        third.sparse.load_state_dict(sparse)
        for problem in (second, third):
            assert same(problem.result(), first.result()), f"loaded after {after} steps"
            problem.run(found[after:])
            assert same(problem.result(), whole.result()), f"resumed after {after} steps"


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
        for group in problem.optimizer.param_groups:
            group["lr"] *= factor
        problem.run(batches()[2:])
        results.append(problem.result())
    assert not same(*results), "a tenth of the learning rate gives the same weights"


def a_copy_goes_on_by_itself(name: str) -> None:
    """A deep copy of model and optimizer together makes the same step, and leaves the original."""
    problem = Problem(name)
    problem.run(batches()[:3])
    model, optimizer = copy.deepcopy((problem.model, problem.optimizer))
    before = problem.result()

    def step(model: nn.Module, optimizer: Any) -> None:
        optimizer.zero_grad()
        loss = partial(_backward, model)
        optimizer.step(loss) if problem.step.takes_closure else (loss(), optimizer.step())

    step(model, optimizer)
    assert same(problem.result()[: len(before)], before), "the copy's step moved the original"
    step(problem.model, problem.optimizer)
    assert same([*model.parameters()], [*problem.model.parameters()]), "the copy goes elsewhere"


def _backward(model: nn.Module) -> Tensor:
    loss = loss_fn(model, batches()[3])
    loss.backward()
    return loss


def declared_costs_are_finite_and_not_negative(name: str) -> None:
    """``cost`` with the default options."""
    cost = optimizer_cost(name, {})
    for field in ("step", "snapshot", "prepared_pass", "tensors"):
        value = getattr(cost, field)
        assert math.isfinite(value), f"{field} is {value}"
        assert value >= 0, f"{field} is {value}"


def trains_in_a_cell(name: str) -> None:
    """Two short epochs on digits with RigL, plainly and corrected by AGC."""
    for correction in ("none", "agc"):
        train_cell(_cell(name, "rigl", correction))


def counted_units_are_the_declared_ones(name: str) -> None:
    """Over two epochs, with the standard loss and an adversarial one. Where the number of passes
    is left to chance, it is the one that the optimizer says.
    """
    for objective in ("standard", "pgd-at"):
        cell = _cell(name, "dense", "none", objective, CERTAIN.get(name, {}))
        run = build(cell)
        for _ in train(run):
            pass
        images, steps = run.loader.images_per_epoch, run.method.steps
        counted, declared = run.meter.units(images), units(cell)
        if getattr(run.optimizer, "probes", False):
            probed = run.optimizer.param_groups[0]["probed"]
            chance = optimizer_cost(name, cell.training.optimizer.options).step
            declared += (probed / steps - chance) * cell.training.epochs
        assert math.isclose(counted, declared), f"{objective}: {counted}, {declared} declared"


def _cell(
    name: str,
    method: str,
    correction: str,
    objective: str = "standard",
    options: dict[str, Any] | None = None,
) -> Cell:
    chosen = {"name": name, "lr": 0.02, "options": options or {}}
    # Some set the learning rate themselves.
    settings = {"optimizer": chosen, "schedule": {"name": "constant"}}
    return small_cell(method, correction=correction, objective=objective, **settings)


CHECKS = listed(
    the_loss_falls,
    what_has_no_gradient_stays,
    what_is_pruned_stays_zero,
    no_global_stream_moves_or_matters,
    a_resumed_run_has_the_same_bits,
    storages_survive,
    a_schedule_reaches_it,
    a_copy_goes_on_by_itself,
    declared_costs_are_finite_and_not_negative,
)

IN_CELLS = listed(trains_in_a_cell, counted_units_are_the_declared_ones)
