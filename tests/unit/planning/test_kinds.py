from __future__ import annotations

import pytest

from agc.planning.kinds import kind, plain
from tests.conftest import CellMaker

SAME = {
    "seed": {"seed": 7},
    "epochs": {"training": {"epochs": 9}},
    "rate": {"training": {"optimizer": {"lr": 0.3}}},
    "optimizer": {"training": {"optimizer": {"name": "adamw", "lr": 0.3}}},
    "method": {"method": "rigl", "sparsity": 0.9},
    "correction": {"correction": "agc"},
    "evaluation": {"evaluation": {"steps": 3}},
}
OTHER = {
    "batch": {"training": {"batch_size": 32}},
    "memory format": {"training": {"channels_last": True}},
    "precision": {"training": {"precision": "bfloat16"}},
    "augmentation": {"training": {"augmentation": {"cutout": 2}}},
    "compiled": {"training": {"compiled": True}},
    "objective": {"objective": "pgd-at"},
    "steps of the attack": {"objective": {"name": "pgd-at", "options": {"steps": 2}}},
    "width": {"architecture": {"name": "resnet8", "options": {"width": 8}}},
    "data": {"dataset": {"name": "digits", "options": {"folds": 5}}},
}


@pytest.mark.parametrize("fields", SAME.values(), ids=SAME)
def test_what_units_count_is_no_other_kind(tiny_cell: CellMaker, fields: dict) -> None:
    assert kind(tiny_cell(**fields)) == kind(tiny_cell())


def test_what_a_step_s_time_depends_on_is_another_kind(tiny_cell: CellMaker) -> None:
    kinds = [kind(tiny_cell(**fields)) for fields in ({}, *OTHER.values())]
    assert len(set(kinds)) == len(kinds)


@pytest.mark.parametrize("fields", [*SAME.values(), *OTHER.values()], ids=[*SAME, *OTHER])
def test_the_cell_that_is_timed_is_a_plain_one_of_the_kind(
    tiny_cell: CellMaker, fields: dict
) -> None:
    cell = tiny_cell(**fields)
    timed = plain(cell)
    assert kind(timed) == kind(cell)
    assert (timed.method.name, timed.correction.name, timed.sparsity) == ("dense", "none", 0)
    assert (timed.training.epochs, timed.training.optimizer.name) == (1, "sgd")
    assert plain(cell, 16).training.batch_size == 16
