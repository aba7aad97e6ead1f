"""A user's hook can tell the training's passes from all others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from agc import Step, beside_the_step
from agc.methods.snip import SNIP
from tests.support.library_problems import NAMES, batches, loss_fn, make, smooth


@pytest.mark.parametrize("name", NAMES)
def test_one_pass_a_step_is_the_trainings_own(name: str) -> None:
    model, data = smooth(), batches()
    own: list[str] = []
    everything: list[str] = []

    def note(kind: str) -> None:
        everything.append(kind)
        if not beside_the_step():
            own.append(kind)

    model.register_forward_hook(lambda *_: note("forward"))
    model[2].register_full_backward_hook(lambda *_: note("backward"))
    step = Step(
        model, torch.optim.SGD(model.parameters(), lr=0.01), loss_fn, None, make(name, model)
    )
    for _ in range(2):
        step.begin_epoch(data)
        for batch in data:
            step(batch)
    step.probe(data[0])
    assert own == ["forward", "backward"] * 2 * len(data)
    assert len(everything) > len(own)
    assert not beside_the_step()


def test_a_pass_for_scores_is_beside_the_step_and_an_error_ends_it() -> None:
    model, seen = smooth(), []

    def note(module: nn.Module, args: Any, output: Any) -> None:
        seen.append(beside_the_step())

    model.register_forward_hook(note)
    sparse = SNIP(model, sparsity=0.5)
    sparse.begin(batches(), loss_fn)
    assert seen == [True]

    def fails(model: nn.Module, batch: Any) -> torch.Tensor:
        raise KeyError

    with pytest.raises(KeyError):
        sparse.begin(batches(), fails)
    assert not beside_the_step()
