"""DistributedDataParallel: two processes do what one does with the same global batch."""

from __future__ import annotations

import runpy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from agc import MicroBatches, RigL
from tests.support.library_problems import (
    NAMES,
    Everything,
    Samples,
    batches,
    loss_fn,
    make,
    sentences,
    smooth,
    train,
)

WORLD = 2
EXAMPLE = Path(__file__).parents[3] / "examples" / "distributed.py"
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in NAMES},
    "agc in full": ("agc", {"gamma": 1.0}),
    **{f"agc {e}": ("agc", {"gamma": 1.0, "estimator": e}) for e in ("gradient", "layer")},
    "agc online": ("agc", {"gamma": 1.0, "estimator": "online"}),
    "agc subset": ("agc", {"gamma": 1.0, "full_gradient": "subset", "subset": 0.5}),
    "a-itop": ("agc", {"gamma": 1.0, "variant": "a-itop"}),
    "a-rigl": ("agc", {"gamma": 1.0, "variant": "a-rigl"}),
    "adaptive storm": ("storm", {"a": None}),
    "approximate mars": ("mars", {"exact": False}),
    "frequent scsg": ("scsg", {"batches": 2, "interval": 3}),
}


def share(batch: Samples, rank: int) -> Samples:
    """What one process sees of a global batch; the other sees the rest."""
    own = slice(rank, None, WORLD)
    return batch._replace(features=batch.features[own], labels=batch.labels[own])


def outcome(model: nn.Module, data: list[Samples], case: str) -> dict[str, Any]:
    """What a training leaves; ``model`` is wrapped or not."""
    name, options = CASES[case]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    correction = make(name, model, **options)
    sparse = RigL(model, optimizer, sparsity=0.4, total_steps=40, update_interval=3)
    train(model, optimizer, correction, [data] * 3, sparse=sparse)
    assert set(sparse.masks) <= set(correction.parameters)
    # A-RigL leaves no gradient where the topology is updated, as it is in the last step.
    return {
        "weights": [p.detach() for p in model.parameters()],
        "gradients": [p.grad for p in model.parameters() if p.grad is not None],
        "masks": list(sparse.masks.values()),
        "diagnostics": correction.diagnostics(),
    }


def accumulated(model: nn.Module, data: list[Samples]) -> list[Tensor]:
    """Weights after training in groups of two."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    correction = make("agc", model, gamma=1.0)
    groups = [MicroBatches(tuple(data[:2])), MicroBatches(tuple(data[2:]))]
    train(model, optimizer, correction, [groups] * 3)
    return [p.detach() for p in model.parameters()]


def everything(rank: int) -> dict[str, list[Tensor]]:
    """Weights by correction of a network with dropout and batch norm, other noise on each rank."""
    found = {}
    for name in NAMES:
        torch.manual_seed(rank)
        model = DistributedDataParallel(Everything(), find_unused_parameters=True)
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
        sparse = RigL(model, optimizer, sparsity=0.5, total_steps=40, update_interval=3)
        correction = make(name, model)
        data = [share(batch, rank) for batch in sentences()]
        train(model, optimizer, correction, [data] * 2, sparse=sparse)
        found[name] = [*(p.detach() for p in model.parameters()), *sparse.masks.values()]
    return found


def mistakes(rank: int) -> dict[str, str]:
    """What users are told."""
    told = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make("agc", smooth())
    told["not wrapped"] = str(caught[0].message)
    correction = make("agc", DistributedDataParallel(smooth()))
    try:
        correction.begin_epoch(batches(count=3 + rank), loss_fn)
    except ValueError as error:
        told["other counts"] = str(error)
    return told


def work(rank: int, folder: str) -> None:
    """One process."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD
    )
    data = [share(batch, rank) for batch in batches()]
    result: dict[str, Any] = {
        case: outcome(DistributedDataParallel(smooth()), data, case) for case in CASES
    }
    result["accumulated"] = accumulated(DistributedDataParallel(smooth()), data)
    result["everything"] = everything(rank)
    result["mistakes"] = mistakes(rank)
    result["example"] = runpy.run_path(str(EXAMPLE))["train"]()
    torch.save(result, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found; they are started once."""
    if not (distributed.is_available() and distributed.is_gloo_available()):
        pytest.skip("torch was built without gloo")
    folder = str(tmp_path_factory.mktemp("ranks"))
    multiprocessing.spawn(work, (folder,), nprocs=WORLD)
    return [torch.load(f"{folder}/{rank}.pt") for rank in range(WORLD)]


def identical(one: list[Tensor], other: list[Tensor]) -> bool:
    assert len(one) == len(other)
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_two_processes_do_what_one_does(case: str, ranks: list[dict[str, Any]]) -> None:
    one, other = (found[case] for found in ranks)
    alone = outcome(smooth(), batches(), case)
    for key in ("weights", "gradients", "masks"):
        assert identical(one[key], other[key])
    assert one["diagnostics"] == other["diagnostics"]
    assert identical(one["masks"], alone["masks"])
    # A last bit decides here and there how a record is rounded to half precision.
    tolerance = 1e-5 if case == "agc-recorded" else 1e-12
    assert one["diagnostics"] == pytest.approx(alone["diagnostics"], rel=1e3 * tolerance)
    for key in ("weights", "gradients"):
        for found, expected in zip(one[key], alone[key], strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
    if case != "none":
        plain = outcome(smooth(), batches(), "none")
        # What compares two kinds of images adds nothing where a loader has one.
        assert identical(plain["weights"], alone["weights"]) == (case == "clean-bias")


def test_accumulated_gradients_are_those_of_one_process(ranks: list[dict[str, Any]]) -> None:
    one, other = (found["accumulated"] for found in ranks)
    assert identical(one, other)
    for found, expected in zip(one, accumulated(smooth(), batches()), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_processes_with_noise_of_their_own_stay_together(
    name: str, ranks: list[dict[str, Any]]
) -> None:
    one, other = (found["everything"][name] for found in ranks)
    assert identical(one, other)
    assert all(t.isfinite().all() for t in one)


def test_mistakes_are_told_on_every_process(ranks: list[dict[str, Any]]) -> None:
    for found in ranks:
        assert "nothing is averaged" in found["mistakes"]["not wrapped"]
        assert "3 batches on one process and 4 on another" in found["mistakes"]["other counts"]


def test_the_example_keeps_processes_together(ranks: list[dict[str, Any]]) -> None:
    one, other = (found["example"] for found in ranks)
    assert identical(one, other)
