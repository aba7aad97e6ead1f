"""SVRG's family: unbiased, exact where it must be, with the variance that the formula says."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from agc import AGC, rng
from agc.corrections.base import Correction
from agc.corrections.constant import Constant
from agc.corrections.l_svrg import LooplessSVRG
from agc.corrections.scsg import SCSG
from agc.corrections.svrg import SVRG
from agc.registry import CORRECTIONS
from tests.support.agc_problems import mean_loss, move, partition, smooth_network
from tests.support.correction_problems import (
    Loss,
    Point,
    flat,
    follow,
    gradient,
    gradients,
    plain_gradients,
    quadratic_loss,
    quadratics,
)

COUNT = 5  # batches of the partition
FAMILY: dict[str, tuple[str, dict[str, Any]]] = {
    "svrg": ("svrg", {}),
    "constant": ("constant", {"c": 0.7}),
    "alpha-svrg": ("alpha-svrg", {"alpha": 0.7}),
    "agc loss": ("agc", {"gamma": 1.5}),
    "agc gradient": ("agc", {"gamma": 1.5, "estimator": "gradient"}),
    "agc layer": ("agc", {"gamma": 1.5, "estimator": "layer"}),
    "agc online": ("agc", {"gamma": 1.5, "estimator": "online"}),
    "scsg": ("scsg", {"batches": COUNT, "interval": 1000}),
    "l-svrg": ("l-svrg", {"refreshes": 1e-9}),
}


def make(model: nn.Module, label: str) -> Correction:
    name, options = FAMILY[label]
    return CORRECTIONS.create(name, model, options=options, seed=0, epochs=4)


def begin(correction: Correction, batches: Sequence[Any], loss_fn: Loss) -> None:
    """Start an epoch; two entries take their snapshot before the first step instead."""
    correction.begin_epoch(batches, loss_fn)
    with correction.point(batches[0], loss_fn):
        pass


@pytest.mark.parametrize("label", FAMILY)
@pytest.mark.parametrize("sizes", [(9,) * COUNT, (9, 9, 9, 9, 4)])
def test_the_mean_over_a_partition_is_that_of_the_raw_gradients(
    label: str, sizes: tuple[int, ...]
) -> None:
    batches, model = partition(sizes=sizes), smooth_network()
    correction = make(model, label)
    for _ in range(2):  # so that estimates are under way, and snapshot and weights apart
        begin(correction, batches, mean_loss)
        for batch in batches[:3]:
            gradient(model, batch, mean_loss, correction)
            move(model, 0.1)
    raw = gradients(model, batches, mean_loss)
    corrected = gradients(model, batches, mean_loss, correction)
    assert (raw - corrected).abs().max() > 1e-3
    torch.testing.assert_close(corrected.mean(dim=0), raw.mean(dim=0), rtol=0, atol=1e-14)


EXACT = {
    "svrg": ("svrg", {}, 1.0),
    "constant 0.1": ("constant", {"c": 0.1}, 0.1),
    "constant 0.5": ("constant", {"c": 0.5}, 0.5),
    "alpha-svrg": ("alpha-svrg", {"alpha": 0.25, "schedule": "constant"}, 0.25),
    "agc": ("agc", {"gamma": 0.6, "alpha": 0.0, "tau0": 0.5}, 0.3),
    "scsg": ("scsg", {"batches": 6, "interval": 1000}, 1.0),
    "l-svrg": ("l-svrg", {"refreshes": 1e-9}, 1.0),
}


@pytest.mark.parametrize("label", EXACT)
def test_with_a_common_hessian_the_variance_ratio_is_exactly_that_of_the_coefficient(
    label: str,
) -> None:
    name, options, coefficient = EXACT[label]
    batches, model = quadratics(common=True), Point([1.0, -2.0, 0.5, 3.0, 0.0])
    correction = CORRECTIONS.create(name, model, options=options, seed=0, epochs=4)
    begin(correction, batches, quadratic_loss)
    move(model, 2.0)
    raw = gradients(model, batches, quadratic_loss)
    corrected = gradients(model, batches, quadratic_loss, correction)
    ratio = (corrected.var(dim=0).sum() / raw.var(dim=0).sum()).item()
    assert ratio == pytest.approx((1 - coefficient) ** 2, abs=1e-13)
    torch.testing.assert_close(corrected.mean(dim=0), raw.mean(dim=0), rtol=0, atol=1e-13)
    if coefficient == 1.0:
        exact = raw.mean(dim=0).expand_as(raw)
        torch.testing.assert_close(corrected, exact, rtol=0, atol=1e-13)


@pytest.mark.parametrize("coefficient", [0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("distance", [0.1, 1.0])
def test_the_variance_is_that_of_the_formula(coefficient: float, distance: float) -> None:
    batches, model = quadratics(common=False), Point([1.0, -2.0, 0.5, 3.0, 0.0])
    correction = Constant(model, c=coefficient)
    correction.begin_epoch(batches, quadratic_loss)
    older = flat(model.parameters()).numpy()
    move(model, distance)
    now = flat(model.parameters()).numpy()
    g, q = (np.stack([h.numpy() @ (w - a.numpy()) for h, a in batches]) for w in (now, older))
    g, q = g - g.mean(axis=0), q - q.mean(axis=0)
    s = np.sqrt((q**2).sum() / (g**2).sum())
    rho = (g * q).sum() / np.sqrt((q**2).sum() * (g**2).sum())
    assert 0 < rho < 1
    corrected = gradients(model, batches, quadratic_loss, correction).numpy()
    ratio = ((corrected - corrected.mean(axis=0)) ** 2).sum() / (g**2).sum()
    expected = 1 - 2 * coefficient * rho * s + coefficient**2 * s**2
    assert ratio == pytest.approx(expected, abs=1e-12)


def test_svrg_converges_where_sgd_stalls_at_its_noise() -> None:
    batches = [(h + torch.eye(5), a) for h, a in quadratics(common=False)]
    hessian = sum(h for h, _ in batches)
    optimum = torch.linalg.solve(hessian, sum(h @ a for h, a in batches))
    left = {}
    for name in ("none", "svrg"):
        model = Point(torch.zeros(5))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        correction = CORRECTIONS.create(name, model, options={})
        path = follow(model, correction, batches, quadratic_loss, optimizer, epochs=50)
        left[name] = (path[-1] - optimum).norm().item()
    assert left["svrg"] < 1e-10
    assert left["none"] > 1e-3


def test_l_svrg_throws_a_fair_coin_that_its_seed_decides() -> None:
    batches, model = quadratics(common=True, count=4), Point(torch.zeros(5))

    def renewals(seed: int, refreshes: float, steps: int) -> list[int]:
        correction = LooplessSVRG(model, refreshes=refreshes, seed=seed)
        renewed: list[int] = []
        correction.refresh = lambda *_: (
            renewed.append(correction.steps),
            correction.move_reference(),
        )
        correction.begin_epoch(batches, quadratic_loss)
        for _ in range(steps):
            with correction.point(batches[0], quadratic_loss):
                pass
        return renewed

    assert renewals(1, 1.0, 400) == renewals(1, 1.0, 400)
    assert renewals(1, 1.0, 400) != renewals(2, 1.0, 400)
    assert renewals(1, 1e-9, 400) == [0]
    # 4000 coins of 1/4: five standard deviations are 137.
    assert abs(len(renewals(3, 1.0, 4000)) - 1000) < 137


def test_scsg_renews_at_its_interval_from_as_many_batches_as_it_says() -> None:
    batches, model = quadratics(common=False), Point(torch.ones(5))
    correction = SCSG(model, batches=2, interval=4)
    for step in range(9):
        if step % len(batches) == 0:
            correction.begin_epoch(batches, quadratic_loss)
        before = copy.deepcopy(correction.mean)
        with correction.point(batches[0], quadratic_loss):
            pass
        if step % 4 == 0:
            rows = plain_gradients(model, flat(model.parameters()), batches[:2], quadratic_loss)
            found = correction.mean["weight"].numpy()
            np.testing.assert_allclose(found, rows.mean(axis=0), rtol=0, atol=1e-14)
        else:
            assert torch.equal(correction.mean["weight"], before["weight"])
        move(model, 0.1)


@pytest.mark.parametrize("epochs", [1, 2, 7])
def test_the_schedule_of_alpha_svrg_is_numpys_linspace(epochs: int) -> None:
    batches, model = quadratics(common=True), Point(torch.zeros(5))
    correction = CORRECTIONS.create(
        "alpha-svrg", model, options={"alpha": 0.75}, seed=0, epochs=epochs
    )
    found = []
    for _ in range(epochs):
        correction.begin_epoch(batches, quadratic_loss)
        found.append(correction.diagnostics()["coefficient"])
    np.testing.assert_allclose(found, np.linspace(0.75, 0, epochs), rtol=0, atol=1e-15)


def test_before_the_first_epoch_there_is_nothing_to_correct_by() -> None:
    batch = partition()[0]
    for name in ("svrg", "constant", "agc"):
        correction = CORRECTIONS.create(name, smooth_network(), options={})
        with pytest.raises(RuntimeError, match="before begin_epoch"):
            correction.correct(batch, mean_loss)
    with pytest.raises(ValueError, match="no batches"):
        SVRG(smooth_network()).begin_epoch([], mean_loss)
    with rng.isolated(0), pytest.raises(RuntimeError, match="before begin_epoch"):
        AGC(smooth_network(), variant="a-itop").correct(batch, mean_loss)
