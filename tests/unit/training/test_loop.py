from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
import torch

from agc.training.build import build
from agc.training.loop import train
from agc.training.run import Run

RIGL = {"name": "rigl", "options": {"update_interval": 3}}


def spied(run: Run, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What the loop calls, in order, with what is looked at in the tests."""
    calls: list[tuple[str, Any]] = []

    def spy(owner: Any, name: str, look: Callable[..., Any] = lambda *_: None) -> None:
        original = getattr(owner, name)

        def call(*args: Any) -> Any:
            calls.append((f"{type(owner).__name__}.{name}", look(*args)))
            return original(*args)

        monkeypatch.setattr(owner, name, call)

    spy(run.objective, "prepare", lambda model, batch, generator: batch.labels.tolist())
    spy(run.method, "observe")
    spy(run.correction, "correct", lambda batch, loss_fn: batch.labels.tolist())
    spy(run.correction, "on_topology_update", lambda masks: masks is run.method.masks)
    spy(run.method, "advance")
    monkeypatch.setattr(
        torch.nn.utils, "clip_grad_norm_", lambda *args: calls.append(("clip", args[1]))
    )
    run.optimizer.register_step_pre_hook(lambda *_: calls.append(("optimizer.step", None)))
    return calls


def test_the_order_of_a_step_is_fixed(tiny_cell: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    # Growth scores see the raw gradient, clipping and the optimizer the corrected one.
    run = build(
        tiny_cell(
            method=RIGL, sparsity=0.9, correction="agc", training={"epochs": 1, "clip_norm": 2.0}
        )
    )
    run.method.end_step = 4
    calls = spied(run, monkeypatch)
    list(train(run))
    names = [name for name, _ in calls]
    step = ["Standard.prepare", "RigL.observe", "AGC.correct", "clip", "optimizer.step"]
    step += ["RigL.advance"]
    update = [*step, "AGC.on_topology_update"]
    assert names == [*["Standard.prepare"] * 4, *step, *step, *update, *step]
    assert ("clip", 2.0) in calls
    assert ("AGC.on_topology_update", True) in calls


def test_a_correction_looks_at_the_batch_of_its_step(
    tiny_cell: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = build(tiny_cell(correction="agc", training={"epochs": 1}))
    calls = spied(run, monkeypatch)
    list(train(run))
    prepared = [labels for name, labels in calls if name == "Standard.prepare"]
    corrected = [labels for name, labels in calls if name == "AGC.correct"]
    assert corrected == prepared[4:]


def test_the_snapshot_pass_has_an_order_of_its_own_and_the_same_images(
    tiny_cell: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = build(tiny_cell(correction="agc", training={"epochs": 2}))
    calls = spied(run, monkeypatch)
    list(train(run))
    prepared = [labels for name, labels in calls if name == "Standard.prepare"]
    passes = [list(chain(*prepared[i : i + 4])) for i in range(0, 16, 4)]
    assert len({tuple(labels) for labels in passes}) == 4
    assert all(sorted(labels) == sorted(passes[0]) for labels in passes)


def test_a_loop_that_begins_later_sees_the_later_batches(tiny_cell: Callable) -> None:
    whole, late = (build(tiny_cell(training={"epochs": 3})) for _ in range(2))
    assert [epoch for epoch, _ in train(whole)] == [1, 2, 3]
    ((epoch, losses),) = train(late, first_epoch=3)
    assert epoch == 3
    assert losses.shape == (4,)
    assert not losses.requires_grad
