"""Error feedback against its recursion, the published codes' order of things, and its proofs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from agc import SAEF, Step
from agc.compressors.base import make_compressor
from agc.errors import UserError
from agc.registry import COMMUNICATION
from tests.support.worker_problems import (
    DECAY,
    MOMENTUM,
    RATE,
    WORKERS,
    Two,
    batches,
    flat,
    kept,
    loss_fn,
    step_of,
)

STEPS = 30
TOLERANCE = 1e-12
ALPHA = {"ef": 0.0, "saef": 1.0, "sa-pef": 0.5, "def": 0.3}
ERRORS = [f"error of worker {number}" for number in range(WORKERS)]
SERVER = "error of the server"


def errors(step: Step) -> Tensor:
    """[workers, numbers]."""
    return torch.stack([kept(step, name) for name in ERRORS])


def trained(name: str, steps: int = STEPS, **options: Any) -> Step:
    step, _ = step_of(name, **options)
    for batch in batches(steps):
        step(batch)
    return step


def watched(name: str, **options: Any) -> tuple[Step, list[list[Tensor]], list[list[Tensor]]]:
    """A step, and for each that it makes the workers' points and gradients there."""
    step, communication = step_of(name, **options)
    points: list[list[Tensor]] = []
    gradients: list[list[Tensor]] = []
    correct, update = step.correction.correct, communication.update

    def at(*given: Any) -> None:
        points[-1].append(flat(step.model.parameters()))
        correct(*given)

    def told(found: list[dict[str, Tensor]]) -> None:
        gradients.append([flat(own.values()) for own in found])
        update(found)

    step.correction.correct, communication.update = at, told
    original = communication.begin
    communication.begin = lambda: (points.append([]), original())[1]
    return step, points, gradients


@pytest.mark.parametrize("name", ALPHA)
@pytest.mark.parametrize("compressor", ["sign", "top-k", "random-k"])
@pytest.mark.parametrize(("two_way", "average"), [(False, 0), (True, 0), (False, 3), (True, 4)])
def test_the_virtual_iterate_moves_as_if_nothing_were_compressed(
    name: str, compressor: str, two_way: bool, average: int
) -> None:
    options = {"compressor": compressor, "two_way": two_way, "average": average}
    step, points, gradients = watched(name, **options)
    virtual, momentum = flat(step.model.parameters()), torch.zeros(24, dtype=torch.float64)
    largest = 0.0
    for batch in batches(STEPS):
        step(batch)
        decayed = [g + DECAY * y for g, y in zip(gradients[-1], points[-1], strict=True)]
        momentum = MOMENTUM * momentum + torch.stack(decayed).mean(dim=0)
        virtual = virtual - RATE * momentum
        here = flat(step.model.parameters()) - errors(step).mean(dim=0) - kept(step, SERVER)
        assert (here - virtual).abs().max() < TOLERANCE
        largest = max(largest, float(errors(step).abs().max()))
    assert largest > 0.01, "nothing was left out"


@pytest.mark.parametrize("name", ALPHA)
def test_workers_look_from_where_they_should(name: str) -> None:
    step, points, _ = watched(name, compressor="top-k")
    for batch in batches(5):
        before = flat(step.model.parameters()) - ALPHA[name] * errors(step)
        step(batch)
        for number in range(WORKERS):
            assert (points[-1][number] - before[number]).abs().max() < TOLERANCE


def published(alpha: float, compressor: str, zero: bool, averaged: int) -> Tensor:
    """The order of things in the code of SAEF, written anew: each worker lets torch's SGD step from
    its own point, both ways are compressed.

    There the message of EF is ``old - p + e`` and that of SAEF ``old - p``, with p stepped ahead.
    """
    models = [Two() for _ in range(WORKERS)]
    optimizers = [
        torch.optim.SGD(m.parameters(), RATE, MOMENTUM, weight_decay=DECAY) for m in models
    ]
    squeeze = make_compressor(compressor, None, 0)
    names = [name for name, _ in models[0].named_parameters()]
    old = {
        n: torch.zeros_like(p) if zero else p.detach().clone()
        for n, p in models[0].named_parameters()
    }
    left = [{n: torch.zeros_like(p) for n, p in old.items()} for _ in models]
    server = {n: torch.zeros_like(p) for n, p in old.items()}
    for number, (matrices, targets) in enumerate(batches(STEPS)):
        if averaged and (number + 1) % averaged == 0:
            mean = {n: sum(own[n] for own in left) / WORKERS for n in names}
            left = [dict(mean) for _ in models]
        sent = []
        for i, (model, optimizer) in enumerate(zip(models, optimizers, strict=True)):
            parameters = dict(model.named_parameters())
            with torch.no_grad():
                for n, p in parameters.items():
                    p.sub_(alpha * left[i][n])
            optimizer.zero_grad()
            loss_fn(model, (matrices[i : i + 1], targets[i : i + 1])).backward()
            optimizer.step()
            wanted = {
                n: old[n] - p.detach() + (1 - alpha) * left[i][n] for n, p in parameters.items()
            }
            sent.append(_squeezed(squeeze, wanted))
            left[i] = {n: wanted[n] - sent[-1][n] for n in names}
        server = {n: server[n] + sum(own[n] for own in sent) / WORKERS for n in names}
        back = _squeezed(squeeze, server)
        server = {n: server[n] - back[n] for n in names}
        old = {n: old[n] - back[n] for n in names}
        for model in models:
            with torch.no_grad():
                for n, p in model.named_parameters():
                    p.copy_(old[n])
    return flat(old.values())


def _squeezed(squeeze: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    sent = squeeze.compress({n: t.reshape(-1) for n, t in tensors.items()}, 0)
    return {n: sent[n].reshape(t.shape) for n, t in tensors.items()}


@pytest.mark.parametrize("name", ALPHA)
@pytest.mark.parametrize("compressor", ["sign", "top-k"])
@pytest.mark.parametrize(("start", "average"), [("weights", 0), ("zero", 0), ("weights", 5)])
def test_the_order_of_the_published_code_gives_the_same(
    name: str, compressor: str, start: str, average: int
) -> None:
    options = {"compressor": compressor, "start": start, "average": average, "two_way": True}
    ours = flat(trained(name, **options).model.parameters())
    theirs = published(ALPHA[name], compressor, start == "zero", average)
    assert (ours - theirs).abs().max() < 1e-10


@pytest.mark.parametrize("name", ["ef", "saef"])
def test_from_zero_the_initial_weights_pass_the_compressor(name: str) -> None:
    """After a step x is what is read of the weights that plain training has then. One that steps
    ahead takes its next gradient at those, one that does not at what was read.
    """
    step, points, _ = watched(name, compressor="sign", start="zero", workers=1)
    plain, _ = step_of("all-reduce", workers=1)
    first, second = batches(2)
    step(first)
    plain(first)
    wanted = flat(plain.model.parameters())
    read = make_compressor("sign", None, 0).compress({"": wanted}, 0)[""]
    assert (flat(step.model.parameters()) - read).abs().max() < TOLERANCE
    step(second)
    off = (points[1][0] - wanted).norm() / wanted.norm()
    assert off < TOLERANCE if name == "saef" else off > 0.3


@pytest.mark.parametrize("name", ALPHA)
def test_after_averaging_all_errors_are_equal(name: str) -> None:
    step, communication = step_of(name, compressor="top-k", average=4)
    spread = []
    begin = communication.begin
    communication.begin = lambda: (begin(), spread.append(errors(step)))[0]
    for batch in batches(8):
        step(batch)
    for number, found in enumerate(spread, start=1):
        apart = (found - found[0]).abs().max() > 1e-6
        assert apart == (number % 4 != 0 and number > 1)
    never = flat(trained(name, compressor="top-k").model.parameters())
    late = flat(trained(name, compressor="top-k", average=STEPS + 1).model.parameters())
    assert torch.equal(never, late)


@pytest.mark.parametrize("name", ALPHA)
def test_without_compression_there_is_no_error(name: str) -> None:
    step = trained(name, compressor="identity", two_way=True)
    assert not errors(step).any()
    assert not kept(step, SERVER).any()
    control = flat(trained("all-reduce").model.parameters())
    assert (flat(step.model.parameters()) - control).abs().max() < TOLERANCE


@pytest.mark.parametrize("name", ALPHA)
@pytest.mark.parametrize("two_way", [False, True])
def test_errors_of_momenta_are_those_of_weights_at_one_rate(name: str, two_way: bool) -> None:
    options = {"compressor": "top-k", "two_way": two_way}
    inside, outside = (trained(name, rate_in_error=flag, **options) for flag in (True, False))
    models = [flat(step.model.parameters()) for step in (inside, outside)]
    assert (models[0] - models[1]).abs().max() < TOLERANCE
    assert (errors(inside) - RATE * errors(outside)).abs().max() < TOLERANCE


def test_another_rate_scales_what_is_left_of_momenta_alone() -> None:
    """A thousandth of the rate moves weights by an error that is scaled, or by one that is not."""
    moved = {}
    for inside in (True, False):
        step = trained("ef", 10, compressor="top-k", rate_in_error=inside)
        step.optimizer.param_groups[0]["lr"] = RATE / 1000
        before = flat(step.model.parameters())
        step(next(batches(1)))
        moved[inside] = (flat(step.model.parameters()) - before).norm()
    assert moved[True] > 20 * moved[False]


def test_of_top_k_so_many_weights_move() -> None:
    step, _ = step_of("ef", compressor="top-k", ratio=0.2, workers=1)
    before = [p.detach().clone() for p in step.model.parameters()]
    step(next(batches(1)))
    moved = [int((p != b).sum()) for p, b in zip(step.model.parameters(), before, strict=True)]
    assert moved == [4, 1]  # of 20 and of 4: one at least


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        (torch.optim.AdamW, {}, "got AdamW"),
        (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}, "without nesterov"),
        (torch.optim.SGD, {"momentum": 0.9, "dampening": 0.5}, "without dampening"),
    ],
)
def test_other_optimizers_are_refused(kind: Any, settings: dict[str, Any], words: str) -> None:
    model = Two()
    with pytest.raises(UserError, match=words):
        SAEF(model, kind(model.parameters(), lr=0.1, **settings))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"compressor": "topk"}, "unknown compressor 'topk'; did you mean 'top-k'"),
        ({"compressor": "sign", "ratio": 0.1}, "compressor 'sign' takes no ratio, got 0.1"),
        ({"start": "nowhere"}, "start"),
        ({"compressor": "top-k", "ratio": 0.0}, "ratio"),
    ],
)
def test_impossible_options_are_named(options: dict[str, Any], words: str) -> None:
    model = Two()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(UserError, match=words):
        COMMUNICATION.create("ef", model, optimizer, options=options, seed=0)
