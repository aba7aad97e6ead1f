"""A correction's passes over a loader of torch's leave its draws, and all others, as they were."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from agc.conformance.correction_cells import switched_off
from agc.conformance.correction_problem import Problem, classify, loader, same, stream_states
from agc.conformance.method_problem import often
from agc.gradients.micro_batches import GroupedBatches
from agc.registry import CORRECTIONS, METHODS

PASSES = ["agc", "agc-recorded", "clean-bias", "constant", "l-svrg", "scsg"]
METHODS_WITH_PASSES = ["snip", "grasp", "synflow", "small-dense", "rigl+swa", "cigl"]


def trained(name: str, workers: int, size: int, options: dict[str, Any]) -> list[torch.Tensor]:
    problem = Problem(name, **options)
    batches = loader(workers)
    problem.batches = GroupedBatches(batches, size) if size > 1 else batches
    for _ in range(2):
        problem.epoch()
    return [*problem.result(), *stream_states(batches)]


@pytest.mark.parametrize(
    ("name", "workers", "size"),
    [*((name, 2, 1) for name in PASSES), ("agc", 0, 2), ("scsg", 0, 2), ("l-svrg", 0, 2)],
)
def test_workers_and_groups_of_batches_draw_the_same(name: str, workers: int, size: int) -> None:
    with switched_off(name) as options:
        assert same(trained("none", workers, size, {}), trained(name, workers, size, options))


def test_a_subset_s_pass_moves_nothing() -> None:
    options = {"gamma": 0.0, "full_gradient": "subset", "subset": 0.5}
    assert same(trained("none", 0, 1, {}), trained("agc", 0, 1, options))


def test_mega_batches_are_drawn_anew_from_a_loader_with_generators_of_its_own() -> None:
    problem = Problem("scsg", interval=1, batches=1)
    seen = []
    problem.correction.refresh = lambda batches, _: seen.append(next(iter(batches)).images)
    problem.correction.begin_epoch(loader(), None)
    for _ in range(3):
        with problem.correction.point(None, None):
            pass
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])


@pytest.mark.parametrize("name", [n for n in CORRECTIONS.names() if n in PASSES])
def test_a_pass_moves_no_stream_where_it_is_made(name: str) -> None:
    problem, batches = Problem(name), loader()
    before = stream_states(batches)
    problem.batches = batches
    problem.begin()
    assert same(stream_states(batches), before)


@pytest.mark.parametrize("name", METHODS_WITH_PASSES)
def test_methods_passes_move_no_stream(name: str) -> None:
    model = torch.nn.Sequential(
        torch.nn.Linear(6, 12), torch.nn.BatchNorm1d(12), torch.nn.ReLU(), torch.nn.Linear(12, 4)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    method = METHODS.create(
        name, model, optimizer, options=often(name), sparsity=0.5, total_steps=12, seed=0
    )
    batches = loader()
    before = stream_states(batches)
    method.begin(batches, classify)
    if hasattr(method, "take_into_average"):
        method.take_into_average()
    method.end(batches, classify)
    assert same(stream_states(batches), before)
