"""DFQ and FracTrain: what the loss pays for bits, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agc.conformance.cells import small_cell
from agc.cost.products import products_of
from agc.errors import UserError
from agc.grids.cell import make_cell
from agc.machine.device import Machine
from agc.machine.stop import Stopped, StopRequest
from agc.quantization.dfq import DFQ, PAIRS
from agc.quantization.fractrain import FracTrain
from agc.runs.train import CellRun
from agc.training.build import build
from agc.training.loop import train

FIELDS = {"dataset": "digits", "architecture": "resnet8"}


def policy(kind: type[DFQ] = DFQ, **options: Any) -> DFQ:
    plain = build(small_cell("dense")).model
    return kind(plain, **options)


def test_the_cost_is_paid_for_above_the_target_and_rewarded_below_it() -> None:
    found = policy(beta=0.5, target=3.0)
    low, high = (torch.full((4,), share, requires_grad=True) for share in (0.029, 0.031))
    assert found.penalty(low) < 0 < found.penalty(high)
    (gradient,) = torch.autograd.grad(found.penalty(high), high)
    assert (gradient > 0).all()


def test_the_published_sum_grows_with_the_batch_and_the_mean_does_not() -> None:
    costs = torch.full((128 * 18,), 0.04)
    corrected, published = policy(), policy(variant="published")
    assert published.penalty(costs) == pytest.approx(1e-3 * 3 * 0.04 * 128 * 18, rel=1e-5)
    torch.testing.assert_close(corrected.penalty(costs), published.penalty(costs))
    half = costs[::2]
    torch.testing.assert_close(corrected.penalty(half), corrected.penalty(costs))
    torch.testing.assert_close(published.penalty(half), published.penalty(costs) / 2)


def test_what_is_counted_is_what_was_chosen() -> None:
    """A target that nothing reaches makes the gate take the cheapest pair or the dearest."""
    run = build(small_cell("dense", quantization="dfq"))
    run.ledger.settle(run.method)
    mixture, products = run.quantization.mixture, run.quantization.products
    (batch,) = [next(iter(run.loader.epoch(1)))]
    with torch.no_grad():
        run.model.gate.head.zero_()
        for place, pair in enumerate(PAIRS):
            run.quantization.settled()
            run.quantization.begin_epoch()
            run.model.gate.head_bias.copy_(torch.eye(len(PAIRS))[place])
            run.model(batch.images)
            for found in products().values():
                expected = products_of(pair[0], 4, pair[1])
                assert found == pytest.approx(expected)
            assert mixture.images == len(batch.images)
            told = run.quantization.diagnostics()
            assert told["forward_bits"] == pytest.approx(pair[0])
            assert told["backward_bits"] == pytest.approx(pair[1])


def test_bits_that_are_told_are_those_of_the_epoch() -> None:
    """However often its cost was settled in between, after its last step, too."""
    run = build(small_cell("dense", quantization="dfq"))
    policy, (batch,) = run.quantization, [next(iter(run.loader.epoch(1)))]

    def compute(place: int) -> None:
        run.model.gate.head_bias.copy_(torch.eye(len(PAIRS))[place])
        run.model(batch.images)

    with torch.no_grad():
        run.model.gate.head.zero_()
        compute(0)
        policy.begin_epoch()
        assert policy.diagnostics() == {}
        for place in (1, 4):
            compute(place)
            policy.settled()
    forward, errors = np.mean([PAIRS[1], PAIRS[4]], axis=0)
    expected = {"forward_bits": forward, "backward_bits": errors}
    assert policy.diagnostics() == pytest.approx(expected)


def test_the_loss_of_a_cell_has_the_cost_and_its_gradient_reaches_the_gate() -> None:
    run = build(small_cell("dense", quantization={"name": "dfq", "options": {"beta": 1.0}}))
    batch = next(iter(run.loader.epoch(1)))
    loss = run.loss_fn(run.model, batch)
    loss.backward()
    assert run.model.gate.head_bias.grad.abs().max() > 1e-3
    assert not run.quantization.mixture.costs


def test_fractrain_s_target_rises_with_its_stages() -> None:
    options = {"points": 20, "threshold": 100.0, "decay": 1.0}
    chosen = {"name": "fractrain", "options": options}
    run = build(small_cell("dense", quantization=chosen, epochs=10))
    assert isinstance(run.quantization, FracTrain)
    targets = [run.quantization.target for _ in train(run)]
    assert targets == [1.5, 1.5, 1.5, 2.0, 2.0, 2.0, 2.5, 2.5, 2.5, 3.0]


@pytest.mark.parametrize("name", ["dfq", "fractrain"])
def test_a_run_that_is_stopped_within_an_epoch_ends_with_the_same_bits(
    name: str, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a step of the second epoch, whose choices and their cost are lost: gate, target, and
    what has been counted until then come from the checkpoint of the first.
    """
    described = small_cell("rigl", quantization=name, epochs=3)
    assert CellRun(described, tmp_path / "whole", machine).train() == "finished"
    folder, stop = tmp_path / "stopped", StopRequest(grace=0)
    penalty, steps = DFQ.penalty, []

    def counted(self: DFQ, costs: torch.Tensor) -> torch.Tensor:
        steps.append(len(costs))
        if len(steps) == 3:  # an epoch has two
            stop.ask("SIGTERM")
        return penalty(self, costs)

    with monkeypatch.context() as patch:
        patch.setattr(DFQ, "penalty", counted)
        run = CellRun(described, folder, machine, checkpoint_interval=0, stop=stop)
        with pytest.raises(Stopped, match="within epoch 2"):
            run.train()
    assert (folder / "checkpoint.pt").exists()
    assert CellRun(described, folder, machine).train() == "finished"
    for file in ("model.safetensors", "best.safetensors", "epochs.csv", "layers.csv"):
        one, other = (place / file for place in (tmp_path / "whole", folder))
        assert one.read_bytes() == other.read_bytes(), file


def test_the_simulation_says_how_many_passes_it_makes() -> None:
    assert policy().simulated_passes == 4
    assert policy(variant="published").simulated_passes == 5


@pytest.mark.parametrize("name", ["dfq", "fractrain"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "wrn_16_1"}, "it gates the blocks of resnet8"),
        ({"method": "top-kast", "sparsity": 0.9}, "'top-kast' trains weights that the forward"),
        ({"method": "bsr", "sparsity": 0.9}, "'bsr' adds noise"),
        ({"correction": "storm"}, "'storm' compares gradients"),
        ({"objective": "free-at"}, "'free-at' changes with each gradient"),
        ({"training": {"devices": 2}}, "got training.devices: 2"),
        (
            {"training": {"optimizer": {"name": "cgq"}, "schedule": {"name": "constant"}}},
            "jump with the choice of bits",
        ),
    ],
)
def test_what_a_choice_of_bits_confuses_is_refused(
    name: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make_cell({**FIELDS, "quantization": name, **changes})
