"""Half precision: autocast in bfloat16, and in float16 with a GradScaler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support.library_problems import NAMES, batches, flat, loss_fn, make, smooth

DATA = batches(dtype=torch.float32)
WITH_OLDER_GRADIENTS = ["agc", "svrg", "storm", "mars", "sam"]


def cast(dtype: torch.dtype | None, size: float = 1.0) -> Callable[[nn.Module, Any], Tensor]:
    """Loss under autocast; ``size`` makes its gradients small or large."""

    def loss(model: nn.Module, batch: Any) -> Tensor:
        with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
            outputs = model(batch[0])
        return size * nn.functional.cross_entropy(outputs.float(), batch[1])

    return loss


def second_step(name: str, loss: Any, scaler: Any = None, **options: Any) -> tuple[Tensor, Tensor]:
    """Raw and corrected gradient of the second step, the weights having moved by a fixed amount."""
    model = smooth(torch.float32)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    correction = make(name, model, **options)
    if name == "agc":
        correction.correlation.alpha = 0.0
    correction.begin_epoch(DATA, loss)
    for batch in DATA[:2]:
        optimizer.zero_grad()
        with correction.point(batch, loss):
            value = loss(model, batch)
            (value if scaler is None else scaler.scale(value)).backward()
        if scaler is not None:
            scaler.unscale_(optimizer)
        raw = flat(p.grad for p in model.parameters())
        correction.correct(batch, loss)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.9)
        if scaler is not None:
            scaler.update()
    return raw, flat(p.grad for p in model.parameters())


OPTIONS: dict[str, dict[str, Any]] = {
    "agc": {"gamma": 1.0, "tau0": 1.0},
    "mars": {"clip": None, "gamma": 0.1},
    "sam": {"rho": 0.5},
}


def deviation(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("name", WITH_OLDER_GRADIENTS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_corrected_gradient_is_that_of_single_precision(name: str, dtype: torch.dtype) -> None:
    options = OPTIONS.get(name, {})
    scaler = torch.amp.GradScaler("cpu") if dtype == torch.float16 else None
    raw, expected = second_step(name, cast(None), **options)
    if name != "sam":
        assert deviation(raw, expected) > 0.05
    _, found = second_step(name, cast(dtype), scaler, **options)
    assert deviation(found, expected) < 10 * torch.finfo(dtype).eps


@pytest.mark.parametrize("name", WITH_OLDER_GRADIENTS)
def test_gradients_that_float16_alone_would_lose_are_kept(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With SAM the radius is relative to nothing, so the direction alone is at stake.
    options = OPTIONS.get(name, {})
    small = 1e-7
    _, expected = second_step(name, cast(None, small), **options)
    scaler = torch.amp.GradScaler("cpu")
    _, found = second_step(name, cast(torch.float16, small), scaler, **options)
    assert deviation(found, expected) < 0.05
    monkeypatch.setattr("agc.gradients.loss_scale.LARGEST", 1.0)
    scaler = torch.amp.GradScaler("cpu")
    _, lost = second_step(name, cast(torch.float16, small), scaler, **options)
    assert deviation(lost, expected) > 0.2 or name == "sam"


def test_a_scale_that_overflows_is_lowered_and_comes_back() -> None:
    model = smooth(torch.float32)
    correction = make("svrg", model)
    full = {}
    for dtype in (None, torch.float16):
        full[dtype] = correction.mean_gradient(DATA, cast(dtype, 1e3))
    for name, gradient in full[torch.float16].items():
        assert deviation(gradient, full[None][name]) < 1e-2
    assert 1 <= correction.scale.scale < 2**16
    before = correction.scale.scale
    correction.scale.successes = 999
    correction.mean_gradient(DATA[:1], cast(torch.float16))
    assert correction.scale.scale == 2 * before


def test_single_precision_and_bfloat16_are_not_scaled() -> None:
    model = smooth(torch.float32)
    correction = make("svrg", model)
    for dtype in (None, torch.bfloat16):
        correction.mean_gradient(DATA, cast(dtype))
        assert not correction.scale.half
        assert not correction.scale.overflowed([torch.tensor(torch.inf)])
    for loss, network in ((cast(torch.float16), model), (loss_fn, smooth(torch.float16))):
        half = make("svrg", network)
        data = [b._replace(features=b.features.to(next(network.parameters()).dtype)) for b in DATA]
        mean = half.mean_gradient(data, loss)
        assert half.scale.half
        assert {g.dtype for g in mean.values()} == {torch.float32}


@pytest.mark.parametrize("name", NAMES)
def test_steps_that_the_scaler_leaves_out_spoil_nothing(name: str) -> None:
    # Scaled by 2^28 the first gradients overflow; the scaler halves its scale until they do not.
    torch.manual_seed(0)
    model, loss = smooth(torch.float32), cast(torch.float16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**28)
    options = {"a": None} if name == "storm" else {}
    correction = make(name, model, **options)
    left_out = 0
    before = flat(model.parameters())
    for _ in range(8):
        correction.begin_epoch(DATA, loss)
        for batch in DATA:
            optimizer.zero_grad()
            with correction.point(batch, loss):
                scaler.scale(loss(model, batch)).backward()
            scaler.unscale_(optimizer)
            correction.correct(batch, loss)
            scale = scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
            left_out += scaler.get_scale() < scale
            if scaler.get_scale() < scale:
                assert torch.equal(flat(model.parameters()), before)
            before = flat(model.parameters())
    assert 5 <= left_out <= 20
    assert flat(model.parameters()).isfinite().all()
    value = sum(loss_fn(model, batch).item() for batch in DATA)
    assert value < sum(loss_fn(smooth(torch.float32), batch).item() for batch in DATA)
    assert all(abs(number) < 1e3 for number in correction.diagnostics().values())
