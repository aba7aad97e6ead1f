"""Recorded steps, on a stand-in for CUDA graphs: the bits, masks and counts of usual ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from agc.gradients import graphs
from agc.grids.cell import make_cell
from agc.training.build import build
from agc.training.graphed import use_graphs
from agc.training.run import Run
from tests.support.few_steps import ALL, STEPS, few_steps, left_by
from tests.support.recorded import TapeRecorder

ONLINE = {"name": "agc", "options": {"estimator": "online"}}
FEW = {
    "none": {"correction": "none"},
    "agc": {},
    "agc online": {"correction": ONLINE},
    "an attack": {"objective": "pgd-at"},
    "an attack on logits": {"objective": "trades", "correction": "svrg"},
    "weights that move": {"correction": "sam"},
    "a point that moves": {"correction": "sarah"},
    "hidden weights": {"method": "top-kast"},
    "an update in each step": {"method": "bsr"},
}


def trained(fields: dict[str, Any], recorders: list[TapeRecorder] | None) -> tuple[Run, dict]:
    """Train, recorded or not; the run, and all that it left."""
    run = build(make_cell(fields), "cpu")
    if recorders is not None:

        def recorder() -> TapeRecorder:
            recorders.append(TapeRecorder())
            return recorders[-1]

        use_graphs(run, recorder)
    return run, left_by(run)


def compared(fields: dict[str, Any]) -> list[TapeRecorder]:
    """Train as usual and recorded, and find no difference; what was recorded."""
    recorders: list[TapeRecorder] = []
    usual, left = trained(fields, None)
    recorded, right = trained(fields, recorders)
    assert not [name for name in left if not torch.equal(left[name], right[name])]
    assert usual.meter.state_dict() == recorded.meter.state_dict()
    return recorders


@pytest.mark.parametrize("names", FEW.values(), ids=FEW)
def test_a_recorded_training_has_the_bits_of_the_usual_one(names: dict[str, Any]) -> None:
    step, older, attack = compared(few_steps(names))
    assert len(step.tapes) == 1
    corrected = names.get("correction", "agc") not in ("none", "sam")
    assert len(older.tapes) == (1 if corrected else 0)
    # Its passes and its steps begin at one and the same weights and are of one shape.
    assert len(attack.tapes) == ("objective" in names)


@pytest.mark.slow
@pytest.mark.parametrize(("axis", "name"), ALL, ids=lambda text: text)
def test_every_entry_has_the_same_bits_recorded(axis: str, name: str) -> None:
    compared(few_steps({axis: name}))


@pytest.mark.parametrize(
    "training",
    [{"channels_last": True}, {"precision": "bfloat16"}, {"clip_norm": 0.5}],
    ids=lambda training: next(iter(training)),
)
def test_so_it_has_with_other_settings(training: dict[str, Any]) -> None:
    compared(few_steps({}, **training))


def test_the_older_gradient_runs_beside_the_step_s_unless_its_point_has_just_moved() -> None:
    step, older, _ = compared(few_steps({}))
    assert older.marks, "each step marks where it begins"
    assert len(older.besides) == STEPS - graphs.USUAL
    assert set(older.besides) <= set(older.marks)
    assert not step.besides
    # Here the point moves in between: it is the step's own weights.
    _, older, _ = compared(few_steps({"correction": "storm"}))
    assert older.tapes
    assert set(older.besides) <= set(older.marks)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ({"objective": "free-at", "correction": "none"}, "learns from the backward pass"),
        ({"quantization": "static"}, "changes its formats"),
        ({"communication": "ef", "correction": "none"}, "workers that take turns"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value.values())),
)
def test_what_cannot_be_recorded_stays_as_it_is_and_says_why_once(
    names: dict[str, str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    graphs.say.cache_clear()
    run = build(make_cell(few_steps(names)), "cpu")
    assert not use_graphs(run, TapeRecorder)
    assert not use_graphs(run, TapeRecorder)
    told = capsys.readouterr().err
    assert told.count("no CUDA graphs") == 1
    assert reason in told


def test_a_network_with_dropout_stays_as_it_is() -> None:
    fields = few_steps({})
    fields["architecture"] = {"name": "wrn_16_1", "options": {"drop_rate": 0.3}}
    assert not use_graphs(build(make_cell(fields), "cpu"), TapeRecorder)


def test_a_loss_that_asks_for_values_is_given_up_with_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from agc.objectives.base import Objective

    graphs.say.cache_clear()
    plain = Objective.loss

    def curious(self: Objective, model: Any, batch: Any) -> torch.Tensor:
        loss = plain(self, model, batch)
        assert loss.item() == loss.item()
        return loss

    monkeypatch.setattr(Objective, "loss", curious)
    step, older, _ = compared(few_steps({}))
    assert not step.tapes
    assert not older.tapes
    told = capsys.readouterr().err
    assert "the gradient is not recorded as a CUDA graph: _local_scalar_dense" in told
