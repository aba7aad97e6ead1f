"""What the linear net cannot know is refused with the reason, before anything is computed."""

from __future__ import annotations

from typing import Any

import pytest

from agc.dynamics.domain import SPARSEST, refusal, remarks
from agc.grids.cell import Cell
from tests.conftest import CellMaker

START = {"file": "given", "digest": 64 * "0"}


def tuned(make: CellMaker, training: dict[str, Any] | None = None, **fields: Any) -> Cell:
    return make(training={"start": START, **(training or {})}, **fields)


REFUSED = {
    "objective": ({"objective": "pgd-at"}, "the loss moves with the attack"),
    "optimizer": ({"training": {"optimizer": {"name": "adamw", "lr": 0.01}}}, "those of SGD"),
    "moving masks": ({"method": "rigl", "sparsity": 0.5}, "move by themselves"),
    "masks that come late": ({"method": "gmp", "sparsity": 0.5}, "move by themselves"),
    "hidden weights": ({"method": "top-kast", "sparsity": 0.5}, "move by themselves"),
    "two trainings": (
        {"method": {"name": "lottery", "options": {"rounds": 2}}, "sparsity": 0.5},
        "move by themselves",
    ),
    "hardly any weight": ({"method": "static", "sparsity": 0.9}, f"above {SPARSEST:g}"),
    "another point": ({"correction": "sam"}, "the mean of the gradient"),
    "a bias": ({"correction": "clean-bias"}, "the mean of the gradient"),
    "a published bias": (
        {"correction": {"name": "agc", "options": {"variant": "a-bsr"}}},
        "the mean of the gradient",
    ),
    "memory": ({"correction": "storm"}, "the mean of the gradient"),
    "a projection": ({"architecture": "deq_tiny"}, "projects its weights"),
    "few bits": ({"quantization": "static"}, "quantization 'static'"),
    "workers": ({"communication": "local-extragradient"}, "communication 'local-extragradient'"),
    "clipping": ({"training": {"clip_norm": 1.0}}, "whole gradients"),
    "precision": ({"training": {"precision": "bfloat16"}}, "bfloat16"),
}


@pytest.mark.parametrize(("fields", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_outside_says_why(tiny_cell: CellMaker, fields: dict, words: str) -> None:
    reason = refusal(tuned(tiny_cell, **fields))
    assert reason is not None
    assert words in reason


def test_a_training_from_scratch_is_outside(tiny_cell: CellMaker) -> None:
    reason = refusal(tiny_cell())
    assert reason is not None
    assert "drawn weights" in reason


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"method": "static", "sparsity": 0.8},
        {"method": "snip", "sparsity": 0.5},
        {"correction": "placebo"},
        {"training": {"schedule": {"name": "cosine"}, "optimizer": {"lr": 0.1, "momentum": 0.0}}},
    ],
    ids=str,
)
def test_what_is_inside_is_predicted_as_it_is(tiny_cell: CellMaker, fields: dict) -> None:
    cell = tuned(tiny_cell, **fields)
    assert refusal(cell) is None
    assert remarks(cell) == []


@pytest.mark.parametrize("name", ["agc", "svrg", "constant"])
def test_what_changes_noise_alone_is_predicted_as_without_it(
    tiny_cell: CellMaker, name: str
) -> None:
    cell = tuned(tiny_cell, correction=name)
    assert refusal(cell) is None
    (said,) = remarks(cell)
    assert name in said
