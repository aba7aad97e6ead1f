"""Compiled trainings: what is compiled, and that the training is the usual one but for rounding.

A compiler that changes no operation (``aot_eager``) must leave the very bits of the usual training;
the real one is looked at for what it may do: other last bits, and the same ones each time.
"""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from agc.errors import UserError
from agc.grids.cell import make_cell
from agc.machine.memory import is_out_of_memory
from agc.training.build import build
from agc.training.compiled import CompiledCalls
from agc.training.graphed import use_graphs
from agc.training.loop import DataPass, prepared
from agc.training.run import Run
from tests.conftest import CellMaker
from tests.support.few_steps import ALL, few_steps, left_by
from tests.support.recorded import TapeRecorder

COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
ROUNDING = 1e-4
"""Of single precision, after so few steps; another batch or mask moves weights by 0.01 and more."""

FEW: dict[str, tuple[dict[str, Any], int]] = {
    "none": ({"correction": "none"}, 1),
    "agc": ({}, 2),
    "an attack": ({"objective": "pgd-at", "correction": "none"}, 2),
    "two losses": ({"objective": "trades", "correction": "svrg"}, 2),
    "scores by hooks": ({"method": "synflow", "correction": "none"}, 1),
    "scores of second order": ({"method": "grasp", "correction": "none"}, 1),
    "statistics after the last step": ({"method": "rigl+swa", "correction": "none"}, 1),
    "weights replaced in passes": ({"method": "top-kast"}, 2),
    "shares of workers": ({"correction": "none", "communication": "def"}, 2),
}
"""With how many kernels each of them has: a gradient, and beside it a loss alone, an attack, or a
batch's share."""


def trained(cell: dict[str, Any], graphs: bool = False) -> tuple[Run, dict[str, torch.Tensor]]:
    """The run, and all that it left."""
    run = build(make_cell(cell))
    if graphs:
        assert use_graphs(run, TapeRecorder)
    return run, left_by(run)


def compiled(cell: dict[str, Any]) -> dict[str, Any]:
    return {**cell, "training": {**cell["training"], "compiled": True}}


def differing(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
    assert list(one) == list(other)
    return [name for name in one if not torch.equal(one[name], other[name])]


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that takes apart a network and leaves its operations as they are."""
    counters.clear()
    real = torch.compile

    def compile_with(function: Any, *, options: Any, **more: Any) -> Any:
        return real(function, backend="aot_eager", **more)

    monkeypatch.setattr(torch, "compile", compile_with)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(("names", "kernels"), FEW.values(), ids=FEW)
def test_what_is_compiled_trains_as_usual(names: dict[str, Any], kernels: int) -> None:
    usual, left = trained(few_steps(names))
    assert not counters["stats"]
    run, right = trained(compiled(few_steps(names)))
    assert not differing(left, right)
    assert usual.meter.state_dict() == run.meter.state_dict()
    assert counters["stats"]["unique_graphs"] == kernels


@pytest.mark.slow
@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(("axis", "name"), ALL, ids=lambda text: text)
def test_so_does_every_entry(axis: str, name: str) -> None:
    cell = few_steps({axis: name})
    assert not differing(trained(cell)[1], trained(compiled(cell))[1])


@pytest.mark.usefixtures("traced")
def test_so_it_does_with_stored_gradients() -> None:
    stored = {"name": "agc", "options": {"store": 0.1}}
    cell = few_steps({"correction": stored}, augmentation={"locked": True})
    assert not differing(trained(cell)[1], trained(compiled(cell))[1])
    assert counters["stats"]["unique_graphs"] == 2


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    "training",
    [{"channels_last": True}, {"precision": "bfloat16"}, {"clip_norm": 0.5}],
    ids=lambda training: next(iter(training)),
)
def test_so_it_does_with_other_settings(training: dict[str, Any]) -> None:
    cell = few_steps({}, **training)
    assert not differing(trained(cell)[1], trained(compiled(cell))[1])


@pytest.mark.usefixtures("traced")
def test_compiled_passes_are_recorded_as_graphs_too() -> None:
    cell = compiled(few_steps({"objective": "pgd-at"}))
    assert not differing(trained(cell)[1], trained(cell, graphs=True)[1])


@COMPILER
def test_the_compiler_changes_last_bits_alone_and_they_repeat() -> None:
    cell = few_steps({})
    (_, usual), (_, once), (_, again) = (trained(c) for c in (cell, compiled(cell), compiled(cell)))
    assert not differing(once, again)
    assert differing(usual, once), "the compiler orders sums as the library does: nothing is shown"
    for name, tensor in usual.items():
        torch.testing.assert_close(once[name], tensor, rtol=0, atol=ROUNDING)


@COMPILER
def test_a_batch_drops_the_same_units_at_both_points() -> None:
    """Else the two gradients of a batch would differ where both points are the same weights."""
    cell = few_steps({"dataset": "synthetic", "method": "dense", "correction": "svrg"})
    cell["architecture"] = {"name": "wrn_16_1", "options": {"depth": 10, "drop_rate": 0.3}}
    cell["training"]["validation"] = 12
    run = build(make_cell(compiled(cell)))
    assert run.noisy
    run.step.begin(DataPass(run, 0))
    run.step.begin_epoch(DataPass(run, 1))
    for batch in prepared(run, 1, "train"):
        run.optimizer.zero_grad()
        run.step.backward(run.model, batch, run.loss_fn)
        older = run.correction.reference_gradient(batch, run.loss_fn)
        for name, parameter in run.model.named_parameters():
            assert torch.equal(parameter.grad, older[name])


class Hooked:
    """Counts what a hook sees."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *arguments: Any) -> None:
        self.calls += 1


@pytest.mark.usefixtures("traced")
def test_a_network_that_is_hooked_meanwhile_is_called_as_usual() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    calls, hook, images = CompiledCalls(model), Hooked(), torch.ones(4, 3)
    with calls.wanted():
        model(images)
        handle = model[0].register_forward_hook(hook)
        model(images)
        handle.remove()
        model(images)
    model(images)
    assert hook.calls == 1
    assert counters["stats"]["unique_graphs"] == 1


class Deciding(nn.Module):
    """Asks for a value."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images if images.sum().item() > 0 else -images


def test_a_network_that_decides_by_values_is_refused_in_a_line() -> None:
    model = Deciding()
    calls = CompiledCalls(model)
    with calls.wanted(), pytest.raises(UserError, match=r"training\.compiled: torch\.compile"):
        model(torch.ones(2, requires_grad=True))


def test_no_memory_is_no_fault_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.exc import TorchDynamoException

    def fails(*args: Any) -> Any:
        raise TorchDynamoException("CUDA out of memory. Tried to allocate 2.00 GiB")

    model = nn.Linear(2, 2)
    calls = CompiledCalls(model)
    monkeypatch.setattr(calls, "compiled", fails)
    with calls.wanted(), pytest.raises(TorchDynamoException) as caught:
        model(torch.ones(1, 2))
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"training": {"devices": 2}}, "it is for one device, and 2 train the network together"),
        ({"quantization": "dfq"}, "quantization 'dfq' changes its formats while it trains"),
        ({"architecture": "deq_tiny"}, "an equilibrium network calls its cell depends on its"),
    ],
    ids=["devices", "quantization", "equilibrium"],
)
def test_what_cannot_be_compiled_is_refused_when_planned(
    tiny_cell: CellMaker, more: dict[str, Any], reason: str
) -> None:
    training = {"compiled": True, **more.get("training", {})}
    with pytest.raises(UserError, match=rf"training\.compiled: .*{reason}"):
        tiny_cell(**{**more, "training": training})


def test_it_is_another_cell(tiny_cell: CellMaker) -> None:
    """Its last bits differ; a cell without it keeps the name that it has always had."""
    assert tiny_cell(training={"compiled": True}).slug != tiny_cell().slug
    assert tiny_cell(training={"compiled": False}).slug == tiny_cell().slug
