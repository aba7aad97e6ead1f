from __future__ import annotations

import torch
from torch import Tensor

from agc.compressors.base import make_compressor
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

STEPS = 20


def published(alpha: float) -> tuple[Tensor, Tensor]:
    """The order of things in the authors' code with a message in each step, written anew: a point
    of each worker, and what it still owes, to which each step is added.

    Returns:
        The shared weights, and those of validation.
    """
    models = [Two() for _ in range(WORKERS)]
    squeeze = make_compressor("random-block", None, 0)
    shared = {n: p.detach().clone() for n, p in models[0].named_parameters()}
    momenta, owed = (
        [{n: torch.zeros_like(p) for n, p in shared.items()} for _ in models] for _ in "mo"
    )
    for number, (matrices, targets) in enumerate(batches(STEPS)):
        sent = []
        for i, model in enumerate(models):
            model.zero_grad()
            loss_fn(model, (matrices[i : i + 1], targets[i : i + 1])).backward()
            for n, p in model.named_parameters():
                momenta[i][n] = MOMENTUM * momenta[i][n] + p.grad + DECAY * p.detach()
                owed[i][n] = owed[i][n] + RATE * momenta[i][n]
            message = {n: t.reshape(-1) for n, t in owed[i].items()}
            found = squeeze.compress(message, number)
            sent.append({n: found[n].reshape(t.shape) for n, t in owed[i].items()})
            owed[i] = {n: owed[i][n] - sent[i][n] for n in shared}
        shared = {n: w - sum(own[n] for own in sent) / WORKERS for n, w in shared.items()}
        for i, model in enumerate(models):
            with torch.no_grad():
                for n, p in model.named_parameters():
                    p.copy_(shared[n] - alpha * owed[i][n])
    mean = {n: sum(own[n] for own in owed) / WORKERS for n in shared}
    return flat(shared.values()), flat(w - mean[n] for n, w in shared.items())


def test_the_order_of_the_published_code_gives_the_same() -> None:
    step, communication = step_of("def", compressor="random-block")
    for batch in batches(STEPS):
        step(batch)
    here, there = published(0.3)
    assert (flat(step.model.parameters()) - here).abs().max() < 1e-10
    with communication.evaluated():
        assert (flat(step.model.parameters()) - there).abs().max() < 1e-10
    assert (here - there).norm() > 0.01 * here.norm()


def test_validation_changes_nothing_and_the_end_leaves_what_was_validated() -> None:
    step, communication = step_of("def", compressor="random-block")
    for batch in batches(5):
        step(batch)
    before = flat(step.model.parameters())
    with communication.evaluated():
        used = flat(step.model.parameters())
    assert torch.equal(flat(step.model.parameters()), before)
    errors = torch.stack([kept(step, f"error of worker {n}") for n in range(WORKERS)])
    assert torch.allclose(used, before - errors.mean(dim=0), atol=1e-14)
    step.end([])
    assert torch.equal(flat(step.model.parameters()), used)
    with communication.evaluated():
        assert torch.equal(flat(step.model.parameters()), used)
