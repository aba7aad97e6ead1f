"""What holds for every gradient correction, within the suite and in a loop of one's own."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from agc.records import checkpoint
from agc.registry import CORRECTIONS
from agc.training.build import build
from agc.training.loop import train
from agc.training.run import Run
from tests.support.correction_cells import (
    OPTIONS,
    STEPS,
    objective_named,
    result,
    tiny,
    trained,
)
from tests.support.correction_problems import Problem, classify, same, through_a_file

NAMES = CORRECTIONS.names()


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
    target = CORRECTIONS[name].target
    if target.off is not None:
        return target.off
    if not hasattr(target, "coefficient"):
        pytest.skip(f"{name} has no strength")
    monkeypatch.setattr(target, "coefficient", 0.0)
    return OPTIONS.get(name, {})


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
    assert run.ledger.updates == other.ledger.updates == 2
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
    _, found = trained(tiny(tiny_cell, name, OPTIONS.get(name, {})))
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
    with problem.correction.point(batch, classify):
        assert same(left_alone(), before)
        classify(model, batch).backward()
    before = left_alone()
    problem.correction.correct(batch, classify)
    assert same(left_alone(), before)
    assert same(weights(), home)


@pytest.mark.parametrize("name", NAMES)
def test_global_streams_do_not_move_and_what_is_pruned_is_zero_after_each_step(
    tiny_cell: Callable, name: str
) -> None:
    run = build(tiny(tiny_cell, name))
    seen = []

    def check() -> None:
        for key, mask in run.method.masks.items():
            weight = run.method.parameters[key]
            momentum = run.optimizer.state[weight]["momentum_buffer"]
            assert not weight[~mask].any(), key
            assert not momentum[~mask].any(), key
            seen.append(int((~mask).sum()))

    streams = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    for _ in train(run, after_step=check):
        pass
    assert torch.equal(torch.get_rng_state(), streams[0])
    assert random.getstate() == streams[1]
    assert np.array_equal(np.random.get_state()[1], streams[2])
    assert len(seen) == 2 * STEPS * len(run.method.masks)
    assert max(seen) > 0
    assert run.ledger.updates == 2


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
