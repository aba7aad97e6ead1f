"""The fixed coefficient: when it starts, and which images its full gradient is of."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from agc.conformance.correction_cells import objective_named, result, tiny
from agc.conformance.correction_problem import same
from agc.corrections.constant import Constant
from agc.errors import UserError
from agc.records import checkpoint
from agc.registry import CORRECTIONS
from agc.training.build import build
from agc.training.loop import train
from tests.support.agc_problems import mean_loss, move, partition, smooth_network
from tests.support.correction_problems import gradients

PLAIN, CORRECTED = 3, 9
"""Units of an epoch."""


def test_until_it_starts_a_run_is_plain_in_bits_and_cost() -> None:
    training = {"epochs": 3}
    runs = [
        build(tiny(name, options, training=training))
        for name, options in (("none", {}), ("constant", {"start": 2}))
    ]
    units, coefficients = [], []
    for (epoch, plain), (_, losses) in zip(*map(train, runs), strict=True):
        alike = same([*result(runs[0]), plain], [*result(runs[1]), losses])
        assert alike is (epoch <= 2), f"epoch {epoch}"
        units.append(runs[1].meter.units(runs[1].loader.images_per_epoch))
        coefficients.append(runs[1].correction.diagnostics()["coefficient"])
    assert units == [PLAIN, 2 * PLAIN, 2 * PLAIN + CORRECTED]
    assert coefficients == [0.0, 0.0, 0.1]


def test_when_it_has_started_it_is_one_that_starts_there() -> None:
    model, batches = smooth_network(), partition()
    late, fresh = Constant(model, c=0.7, start=2), Constant(model, c=0.7)
    for correction in (late, late, late, fresh):
        correction.begin_epoch(batches, mean_loss)
    move(model)
    found = gradients(model, batches, mean_loss, late)
    assert torch.equal(found, gradients(model, batches, mean_loss, fresh))
    assert not torch.equal(found, gradients(model, batches, mean_loss))


@pytest.mark.parametrize("before", [1, 2])
def test_a_run_resumed_before_or_after_the_start_has_the_same_bits(
    before: int, tmp_path: Path
) -> None:
    cell = tiny("constant", {"start": 2}, training={"epochs": 3})
    whole, resumed = build(cell), build(cell)
    for epoch, _ in train(whole):
        if epoch == before:
            checkpoint.save(tmp_path / "checkpoint.pt", whole, epoch, {})
    checkpoint.load(tmp_path / "checkpoint.pt", resumed)
    for _ in train(resumed, first_epoch=before + 1):
        pass
    assert same(result(resumed), result(whole))
    assert resumed.meter == whole.meter


def test_a_state_of_before_there_was_a_start_is_taken() -> None:
    model, batches = smooth_network(), partition()
    one, other = Constant(model), Constant(model)
    one.begin_epoch(batches, mean_loss)
    other.load_state_dict({k: v for k, v in one.state_dict().items() if k != "epochs"})
    move(model)
    found = [gradients(model, batches, mean_loss, correction) for correction in (one, other)]
    assert torch.equal(*found)


@pytest.mark.parametrize("kind", ["prepared", "raw"])
def test_the_full_gradient_is_of_the_images_asked_for(kind: str) -> None:
    run = build(tiny("constant", {"pass_images": kind}, objective=objective_named("pgd-at")))
    begin, seen = run.correction.begin_epoch, []

    def spy(batches: object, loss_fn: object) -> None:
        seen.append(batches.images)
        begin(batches, loss_fn)

    run.correction.begin_epoch = spy
    next(train(run))
    assert seen == [kind]


def test_defaults_stay_out_of_the_hash_and_bad_values_are_named() -> None:
    named = {"start": 0, "pass_images": "prepared"}
    assert CORRECTIONS.resolve("constant", named) == {"c": 0.1}
    with pytest.raises(UserError, match="option start = -1"):
        tiny("constant", {"start": -1})
    with pytest.raises(UserError, match=r"option pass_images = 'clean'.*'prepared' or 'raw'"):
        tiny("constant", {"pass_images": "clean"})
