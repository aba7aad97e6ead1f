"""Repeated, resumed and recorded trainings have the same bits on a CUDA device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agc.registry import CORRECTIONS
from tests.support.card_runs import CELLS, cell, trained, unlike

pytestmark = pytest.mark.gpu

PRECISIONS: dict[str, dict[str, Any]] = {
    "float32": {},
    "tf32": {"precision": "tf32"},
    "bfloat16, channels_last": {"precision": "bfloat16", "channels_last": True},
    "compiled": {"compiled": True},
}


@pytest.mark.parametrize("recorded", [False, True], ids=["usual", "recorded"])
@pytest.mark.parametrize("fields", CELLS.values(), ids=CELLS)
def test_a_repeated_training_has_the_same_bits(fields: dict[str, Any], recorded: bool) -> None:
    given = cell(fields)
    assert not unlike(trained(given, recorded), trained(given, recorded))


@pytest.mark.parametrize("recorded", [False, True], ids=["usual", "recorded"])
@pytest.mark.parametrize("fields", CELLS.values(), ids=CELLS)
def test_a_training_that_went_on_from_a_checkpoint_has_the_same_bits(
    fields: dict[str, Any], recorded: bool, tmp_path: Path
) -> None:
    given = cell(fields)
    resumed = trained(given, recorded, tmp_path / "checkpoint.pt")
    assert not unlike(trained(given, recorded), resumed)


@pytest.mark.parametrize("training", PRECISIONS.values(), ids=PRECISIONS)
@pytest.mark.parametrize("fields", CELLS.values(), ids=CELLS)
def test_a_recorded_training_has_the_bits_of_the_usual_one(
    fields: dict[str, Any], training: dict[str, Any]
) -> None:
    given = cell(fields, **training)
    assert not unlike(trained(given), trained(given, recorded=True))


@pytest.mark.parametrize("name", CORRECTIONS.names())
def test_every_correction_has_the_bits_of_the_usual_one_when_it_is_recorded(name: str) -> None:
    fixed = CORRECTIONS[name].target.fixed_batches
    given = cell({"correction": name}, fixed_batches=fixed)
    assert not unlike(trained(given), trained(given, recorded=True))


def test_a_stored_gradient_is_that_of_the_step() -> None:
    locked = {"augmentation": {"crop": 1, "locked": True}}
    stored = {"name": "agc", "options": {"store": 1.0}}
    left, right = (trained(cell({"correction": c}, **locked)) for c in ("agc", stored))
    assert not unlike(left, right)
