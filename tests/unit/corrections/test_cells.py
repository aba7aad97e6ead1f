"""Corrections as cells: what their options cost, and what is refused before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from agc.conformance.correction_cells import objective_named, tiny, trained
from agc.conformance.correction_problem import same
from agc.errors import UserError
from agc.planning.declared import units_per_epoch
from agc.training.build import build
from agc.training.loop import train

# Units an epoch: forward 1, backward 2; a plain step is 3, one with PGD of two steps 9.
COSTS: list[tuple[str, dict[str, Any], float, float]] = [
    ("none", {}, 3, 9),
    ("agc", {}, 10, 22),
    ("agc", {"variant": "algorithm-1"}, 10, 22),
    ("agc", {"variant": "a-itop"}, 10, 22),
    ("agc", {"variant": "a-rigl"}, 10, 22),
    ("agc", {"variant": "a-bsr"}, 10, 16),
    ("agc", {"match_objective": False}, 10, 16),
    ("agc", {"estimator": "gradient"}, 9, 21),
    ("agc", {"estimator": "layer", "clip": [0, 1]}, 9, 21),
    ("agc", {"estimator": "online"}, 9, 21),
    ("agc", {"full_gradient": "subset"}, 7, 14.5),
    ("agc", {"full_gradient": "subset", "subset": 0.5, "estimator": "layer"}, 7.5, 16.5),
    ("agc", {"full_gradient": "subset", "subset": 0.5, "match_objective": False}, 8, 14),
    ("svrg", {}, 9, 21),
    ("alpha-svrg", {"schedule": "constant"}, 9, 21),
    ("constant", {"c": 0.3}, 9, 21),
    ("constant", {"pass_images": "raw"}, 9, 15),
    ("clean-bias", {"gamma": 0.2}, 9, 21),
    ("scsg", {"batches": 1, "interval": 2}, 7.5, 16.5),
    ("scsg", {"batches": 4, "interval": 4}, 9, 21),
    ("l-svrg", {"refreshes": 4}, 18, 48),
    ("mars", {"exact": False}, 3, 9),
    ("mars", {"exact": False, "clip": None}, 3, 9),
    ("sam", {"rho": 0.5}, 6, 12),
]


@pytest.mark.parametrize("objective", ["standard", "pgd-at"])
@pytest.mark.parametrize(
    ("name", "options", "standard", "attacked"),
    COSTS,
    ids=[f"{name} {' '.join(map(str, options.values()))}" for name, options, *_ in COSTS],
)
def test_an_epoch_costs_what_it_declares(
    name: str,
    options: dict[str, Any],
    standard: float,
    attacked: float,
    objective: str,
) -> None:
    cell = tiny(
        name,
        options,
        method="static",
        objective=objective_named(objective, steps=2),
    )
    expected = standard if objective == "standard" else attacked
    assert units_per_epoch(cell) == expected
    run = build(cell)
    images = run.loader.images_per_epoch
    assert [run.meter.units(images) for _ in train(run)] == [expected, 2 * expected]


# Each gradient of a clean share takes two passes: 6 units; PGD of two steps another 6.
WITH_CLEAN_SHARE = {"none": 12, "constant": 30, "agc": 32, "clean-bias": 30}


@pytest.mark.parametrize("name", WITH_CLEAN_SHARE)
def test_a_clean_share_doubles_what_each_gradient_costs(name: str) -> None:
    objective = {"name": "pgd-at", "options": {"steps": 2, "clean_share": 0.1}}
    cell = tiny(name, {}, method="static", objective=objective)
    expected = WITH_CLEAN_SHARE[name]
    assert units_per_epoch(cell) == expected
    run = build(cell)
    images = run.loader.images_per_epoch
    assert [run.meter.units(images) for _ in train(run)] == [expected, 2 * expected]


@pytest.mark.parametrize("estimator", ["gradient", "online"])
def test_a_running_mean_makes_the_first_epoch_a_plain_one(estimator: str) -> None:
    cell = tiny("agc-running", {"estimator": estimator})
    run = build(cell)
    images = run.loader.images_per_epoch
    assert units_per_epoch(cell) == 6
    assert [run.meter.units(images) for _ in train(run)] == [3.0, 9.0]


@pytest.mark.parametrize(("options", "every"), [({"a": None}, 6), ({"a": 0.5, "c": 3.0}, 6)])
def test_the_first_step_of_storm_has_no_step_before(options: dict[str, Any], every: float) -> None:
    run = build(tiny("storm", options))
    images = run.loader.images_per_epoch
    found = [run.meter.units(images) for _ in train(run)]
    assert found == [every - 3 / 4, 2 * every - 3 / 4]


def test_sparse_skew_leaves_dense_training_alone() -> None:
    _, expected = trained(tiny("none", method="dense"))
    _, found = trained(tiny("sparse-skew", method="dense"))
    assert same(found, expected)


# --- refusals -----------------------------------------------------------------------------------


def test_an_estimate_that_needs_a_pass_is_refused_without_one() -> None:
    with pytest.raises(UserError, match="option estimator = 'loss': Input should be 'gradient'"):
        tiny("agc-running", {"estimator": "loss"})
    with pytest.raises(UserError, match="option full_gradient = 'running': Input should be 'pass'"):
        tiny("agc", {"full_gradient": "running"})


def test_recorded_gradients_are_refused_without_fixed_batches() -> None:
    with pytest.raises(UserError, match=r"'agc-recorded' needs training\.fixed_batches: true"):
        tiny("agc-recorded", {}, training={"fixed_batches": False})
    assert tiny("agc-recorded", {}).training.fixed_batches


def test_records_that_do_not_fit_are_refused_before_the_first_step() -> None:
    run = build(tiny("agc-recorded", {"limit": 1e-9}))
    before = [p.clone() for p in run.model.parameters()]
    with pytest.raises(UserError, match=r"agc-recorded: 4 gradients of \d+ active weights"):
        next(train(run))
    assert all((a == b).all() for a, b in zip(before, run.model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("agc", {"variant": "best"}, "option variant = 'best'"),
        ("agc", {"estimator": "losses"}, "option estimator = 'losses'"),
        ("agc", {"gamma": -1}, "option gamma = -1"),
        ("agc", {"subset": 0}, "option subset = 0"),
        ("agc", {"scale": 1}, "scale"),
        ("storm", {"a": 1.5}, "option a = 1.5"),
        ("mars", {"beta": 1.0}, "option beta = 1.0"),
        ("scsg", {"batches": 0}, "option batches = 0"),
        ("l-svrg", {"refreshes": 0}, "option refreshes = 0"),
        ("sam", {"rho": -0.1}, "option rho = -0.1"),
        ("alpha-svrg", {"epochs": 3}, "epochs"),
    ],
)
def test_a_bad_option_is_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        tiny(name, options)
