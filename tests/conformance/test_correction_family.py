"""What holds for every gradient correction, within the suite and in a loop of one's own."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from agc import rng
from agc.cell import Cell
from agc.planning import units_per_epoch
from agc.registry import CORRECTIONS, METHODS, OBJECTIVES
from agc.training import checkpoint
from agc.training.build import Run, build
from agc.training.loop import train
from tests.unit.correction_problems import Problem, classify, same, through_a_file

NAMES = CORRECTIONS.names()
STEPS = 4  # batches in an epoch of a tiny cell

OFF: dict[str, dict[str, Any]] = {
    "agc": {"gamma": 0.0},
    "agc-recorded": {"gamma": 0.0},
    "agc-running": {"gamma": 0.0},
    "alpha-svrg": {"alpha": 0.0},
    "constant": {"c": 0.0},
    "extragradient": {"step_size": 0.0},
    "lookahead": {"alpha": 1.0},
    "mars": {"gamma": 0.0, "clip": None},
    "none": {},
    "s2-sam": {"rho": 0.0},
    "sam": {"rho": 0.0},
    "storm": {"a": 1.0},
}
"""Options that switch a correction off."""

FORCED = ("svrg", "scsg", "l-svrg", "sarah")
"""No option: the weight of the correction is 1 by definition, so the test overrides it."""

NO_STRENGTH = {
    "centralize": "a projection has no strength; its identities are tested by themselves",
    "sparse-skew": "its factors follow from the masks; all are 1 in dense training, tested below",
}

OPTIONS = {"scsg": {"batches": 2, "interval": 4}}
"""Where the defaults ask for more batches than a tiny epoch has."""


def tiny(make: Callable, name: str, options: dict[str, Any] | None = None, **fields: Any) -> Cell:
    """A cell of two epochs of four steps, in which RigL updates twice."""
    method = fields.pop("method", "rigl")
    training = {"batch_size": 16, "validation": 1437 - 16 * STEPS, **fields.pop("training", {})}
    often = "update_interval" in METHODS.options(method).model_fields
    return make(
        method={"name": method, "options": {"update_interval": 2} if often else {}},
        sparsity=0.9 if METHODS[method].target.sparse else 0.0,
        correction={"name": name, "options": OPTIONS.get(name, {}) if options is None else options},
        training={"fixed_batches": CORRECTIONS[name].target.fixed_batches, **training},
        **fields,
    )


def objective_named(name: str, steps: int = 1) -> dict[str, Any]:
    return {"name": name, "options": {"steps": steps} if name == "pgd-at" else {}}


def result(run: Run) -> list[Tensor]:
    momentum = [s["momentum_buffer"] for s in run.optimizer.state.values()]
    return [*run.model.state_dict().values(), *run.method.masks.values(), *momentum]


def trained(cell: Cell) -> tuple[Run, list[Tensor]]:
    """The run at its end, and what it left: tensors first, then each epoch's losses."""
    run = build(cell)
    losses = [loss for _, loss in train(run)]
    assert all(torch.isfinite(loss).all() for loss in losses)
    return run, [*result(run), *losses]


@pytest.fixture(scope="module")
def plain(tiny_cell: Callable) -> Callable:
    """Outcome of the run without correction that ``name`` is compared with; trained once."""
    known: dict[Any, Any] = {}

    def outcome(name: str, objective: str = "standard") -> tuple[Run, list[Tensor]]:
        fixed = CORRECTIONS[name].target.fixed_batches
        if (fixed, objective) not in known:
            known[fixed, objective] = trained(
                tiny(
                    tiny_cell,
                    "none",
                    objective=objective_named(objective),
                    training={"fixed_batches": fixed},
                )
            )
        return known[fixed, objective]

    return outcome


def switched_off(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Options with which ``name`` does nothing; skips where there is no such thing."""
    if name in NO_STRENGTH:
        pytest.skip(NO_STRENGTH[name])
    if name in FORCED:
        monkeypatch.setattr(CORRECTIONS[name].target, "coefficient", 0.0)
        return OPTIONS.get(name, {})
    assert name in OFF, f"say here which options switch {name!r} off, or why none does"
    return OFF[name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("objective", ["standard", "pgd-at"])
def test_switched_off_a_run_of_the_suite_has_the_bits_of_a_plain_one(
    tiny_cell: Callable,
    plain: Callable,
    name: str,
    objective: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = switched_off(name, monkeypatch)
    other, expected = plain(name, objective)
    run, found = trained(tiny(tiny_cell, name, options, objective=objective_named(objective)))
    assert run.meter.updates == other.meter.updates == 2
    assert any("running_mean" in key for key in run.model.state_dict())
    assert same(found, expected)


@pytest.mark.parametrize("name", NAMES)
def test_switched_off_a_loop_of_ones_own_has_the_bits_of_a_plain_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Here dropout draws from the global stream.
    problems = [Problem("none"), Problem(name, **switched_off(name, monkeypatch))]
    for problem in problems:
        torch.manual_seed(9)
        for _ in range(2):
            problem.epoch()
    assert same(problems[0].result(), problems[1].result())


def test_sparse_skew_leaves_dense_training_alone(tiny_cell: Callable) -> None:
    _, expected = trained(tiny(tiny_cell, "none", method="dense"))
    _, found = trained(tiny(tiny_cell, "sparse-skew", method="dense"))
    assert same(found, expected)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "none"])
def test_switched_on_it_changes_the_weights(
    tiny_cell: Callable, plain: Callable, name: str
) -> None:
    # Else the tests above would say nothing.
    options = {**OPTIONS.get(name, {}), **({"k": 2} if name == "lookahead" else {})}
    _, found = trained(tiny(tiny_cell, name, options))
    assert not same(found, plain(name)[1])


@pytest.mark.parametrize("name", NAMES)
def test_only_weights_and_gradients_are_ever_touched(name: str) -> None:
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
    assert same(left_alone(), before)
    assert same(weights(), home)
    problem.optimizer.zero_grad()
    problem.correction.before_forward(batch, classify)
    assert same(left_alone(), before)
    classify(model, batch).backward()
    before = left_alone()
    problem.correction.correct(batch, classify)
    assert same(left_alone(), before)
    assert same(weights(), home)
    problem.correction.after_step()
    assert same(left_alone(), before)


@pytest.mark.parametrize("name", NAMES)
def test_global_streams_do_not_move_and_what_is_pruned_is_zero_after_each_step(
    tiny_cell: Callable, name: str
) -> None:
    run = build(tiny(tiny_cell, name))
    seen = []
    after_step = run.correction.after_step

    def check() -> None:
        after_step()
        for key, mask in run.method.masks.items():
            weight = run.method.parameters[key]
            momentum = run.optimizer.state[weight]["momentum_buffer"]
            assert not weight[~mask].any(), key
            assert not momentum[~mask].any(), key
            seen.append(int((~mask).sum()))

    run.correction.after_step = check
    streams = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    for _ in train(run):
        pass
    assert torch.equal(torch.get_rng_state(), streams[0])
    assert random.getstate() == streams[1]
    assert np.array_equal(np.random.get_state()[1], streams[2])
    assert len(seen) == 2 * STEPS * len(run.method.masks)
    assert max(seen) > 0
    assert run.meter.updates == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_run_resumed_from_its_checkpoint_goes_on_with_the_same_bits(
    tiny_cell: Callable, name: str, tmp_path: Path
) -> None:
    cell, path = tiny(tiny_cell, name), tmp_path / "checkpoint.pt"
    whole = build(cell)
    for epoch, _ in train(whole):
        if epoch == 1:
            checkpoint.save(path, whole, epoch, {})
    resumed = build(cell)
    assert checkpoint.load(path, resumed)[0] == 1
    assert [epoch for epoch, _ in train(resumed, first_epoch=2)] == [2]
    assert same(result(resumed), result(whole))
    assert resumed.correction.diagnostics() == whole.correction.diagnostics()
    assert resumed.meter == whole.meter


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("within", [1, 3])
def test_a_state_taken_within_an_epoch_goes_on_with_the_same_bits(name: str, within: int) -> None:
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
    assert same(whole.result(), other.result())
    assert whole.correction.diagnostics() == other.correction.diagnostics()


def first_steps_missing(cell: Cell) -> float:
    """Units by which a whole run differs from the declared ones, and where they are."""
    name, epochs = cell.correction.name, cell.training.epochs
    if name == "agc-running":
        return -3.0  # the first epoch has no mean yet: it is plain
    if name == "storm" or (name == "mars" and cell.correction.options["exact"]):
        return -3.0 / STEPS  # the first step has no step before
    if name == "l-svrg":  # declared in expectation; the first step renews in any case
        expected = cell.correction.options["refreshes"]
        coins = [
            torch.rand((), generator=rng.generator(cell.seed, name, step=step)).item()
            for step in range(STEPS * epochs)
        ]
        renewed = [s for s, coin in enumerate(coins) if s == 0 or coin < expected / STEPS]
        prepare = OBJECTIVES[cell.objective.name].target.preparation(**cell.objective.options)
        return (len(renewed) - epochs * expected) * (3 + prepare.units)
    return 0.0


@pytest.mark.parametrize("objective", ["standard", "pgd-at"])
@pytest.mark.parametrize("name", NAMES)
def test_counted_units_are_the_declared_ones(
    tiny_cell: Callable, name: str, objective: str
) -> None:
    cell = tiny(tiny_cell, name, objective=objective_named(objective, steps=2), seed=2)
    run = build(cell)
    images = run.loader.images_per_epoch
    counted = [run.meter.units(images) for _ in train(run)]
    declared = units_per_epoch(cell)
    assert len(run.loader) == STEPS
    assert counted[-1] == 2 * declared + first_steps_missing(cell)
    if name != "l-svrg":  # what is missing is missing in the first epoch
        assert counted[1] - counted[0] == declared


def test_declared_costs_are_finite_and_not_negative() -> None:
    for name in NAMES:
        cost = CORRECTIONS[name].target.cost(**CORRECTIONS.resolve(name, {}))
        for value in (cost.step, cost.snapshot, cost.prepared_pass, cost.tensors):
            assert math.isfinite(value)
            assert value >= 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("method", "precision"),
    [("dense", "float32"), ("static", "float32"), ("rigl", "bfloat16"), ("set", "bfloat16")],
)
def test_it_works_with_every_method_and_precision(
    tiny_cell: Callable, name: str, method: str, precision: str
) -> None:
    cell = tiny(tiny_cell, name, method=method, training={"precision": precision})
    run, _ = trained(cell)
    assert all(p.dtype == torch.float32 for p in run.model.parameters())
    assert run.meter.updates == (2 if method in ("rigl", "set") else 0)
    expected = 2 * units_per_epoch(cell) + first_steps_missing(cell)
    assert run.meter.units(run.loader.images_per_epoch) == expected
    assert run.method.sparsity() == pytest.approx(cell.sparsity, abs=1e-3)
    for key, value in run.correction.diagnostics().items():
        assert isinstance(value, float), key
        assert math.isfinite(value), key
