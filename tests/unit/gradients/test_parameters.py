"""Parameters that are frozen for a while, modes, memory formats, and saved states."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agc import SVRG, RigL
from tests.support.library_problems import (
    NAMES,
    Everything,
    batches,
    corrected,
    flat,
    loss_fn,
    make,
    same,
    sentences,
    smooth,
    train,
)


@pytest.mark.parametrize("name", NAMES)
def test_layers_are_frozen_and_unfrozen_between_epochs(name: str) -> None:
    model, data = smooth(), batches()
    first = model[0]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    sparse = RigL(model, optimizer, sparsity=0.3, total_steps=100, update_interval=3)
    correction = make(name, model)
    first.requires_grad_(False)
    for frozen in (True, False, True, False):
        first.requires_grad_(not frozen)
        before = first.bias.detach().clone()
        train(model, optimizer, correction, [data], sparse=sparse)
        assert torch.equal(first.bias, before) == frozen
        assert (first.bias.grad is None) == frozen
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_what_is_unfrozen_within_an_epoch_is_corrected_from_the_next_snapshot_on() -> None:
    model, data = smooth(), batches()
    model[0].requires_grad_(False)
    correction = SVRG(model)
    correction.begin_epoch(data, loss_fn)
    model[0].requires_grad_(True)
    raw = torch.stack([corrected(model, make("none", model), b, loss_fn) for b in data])
    found = torch.stack([corrected(model, correction, b, loss_fn) for b in data])
    late = model[0].weight.numel() + model[0].bias.numel()
    assert torch.equal(found[:, :late], raw[:, :late])
    full = raw.mean(dim=0).expand_as(raw)
    torch.testing.assert_close(found[:, late:], full[:, late:], rtol=0, atol=1e-15)
    correction.begin_epoch(data, loss_fn)
    found = torch.stack([corrected(model, correction, b, loss_fn) for b in data])
    torch.testing.assert_close(found, full, rtol=0, atol=1e-15)


def test_the_older_point_follows_the_modes_of_the_present_one() -> None:
    model, data = Everything(rate=0.0), sentences()
    seen: list[tuple[bool, bool]] = []

    def noted(model: nn.Module, batch: Any) -> Tensor:
        seen.append((model.norm.training, model.attention.training))
        return loss_fn(model, batch)

    correction = SVRG(model)
    correction.begin_epoch(data, loss_fn)
    model.norm.eval()
    correction.reference_gradient(data[0], noted)
    assert seen == [(False, True)]


@pytest.mark.parametrize("name", NAMES)
def test_the_memory_format_changes_nothing(name: str) -> None:
    images = [
        b._replace(features=b.features[:, :, None, None].repeat(1, 1, 3, 3)) for b in batches()
    ]
    results = []
    for memory in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(6, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 4, 3))
        model = nn.Sequential(model, nn.Flatten()).double().to(memory_format=memory)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        train(model, optimizer, make(name, model), [images] * 2)
        assert model[0][0].weight.is_contiguous(memory_format=memory)
        results.append(flat(model.parameters()))
    tolerance = 1e-4 if name == "agc-recorded" else 1e-12
    torch.testing.assert_close(*results, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_goes_through_a_file_and_is_not_shared(name: str) -> None:
    def made() -> tuple[nn.Module, torch.optim.Optimizer, Any]:
        model = smooth()
        return model, torch.optim.Adam(model.parameters(), lr=0.01), make(name, model)

    (model, optimizer, correction), data = made(), batches()
    train(model, optimizer, correction, [data] * 2)
    file = io.BytesIO()
    states = [copy.deepcopy(part.state_dict()) for part in (model, optimizer)]
    torch.save(correction.state_dict(), file)
    twin = made()
    for part, state in zip(twin[:2], states, strict=True):
        part.load_state_dict(copy.deepcopy(state))
    twin[2].load_state_dict(correction.state_dict())  # of a correction that goes on itself
    train(model, optimizer, correction, [data])
    file.seek(0)
    later = made()
    for part, state in zip(later, [*states, torch.load(file, weights_only=True)], strict=True):
        part.load_state_dict(state)
    for other in (twin, later):
        train(*other, [data])
        assert same(model.parameters(), other[0].parameters())
