"""What all equilibrium networks promise: one fixed point, whatever happens to their weights."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from agc import rng
from agc.architectures import cell_calls
from agc.architectures.base import EquilibriumClassifier
from agc.architectures.deq_tiny import DEQTiny
from agc.architectures.mdeq_small import MDEQSmall
from agc.architectures.shared import fixed_point
from agc.architectures.shared.equilibrium import LIMIT, Equilibrium, equilibrium_of
from agc.errors import UserError
from agc.grids.cell import make_cell

ROUNDING = 1e-6
"""Of single precision, in a norm of about 1."""


def network(kind: type[Equilibrium]) -> Equilibrium:
    with rng.isolated(3):
        return kind()


def images(count: int = 4) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=rng.generator(0, "images"))


KINDS = [DEQTiny, MDEQSmall]


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_brings_two_states_closer(kind: type[Equilibrium]) -> None:
    net, x = network(kind), images()
    injected, generator = net.inject(x), rng.generator(1, "states")
    one, other = (torch.randn(4, net.units(x), generator=generator) for _ in range(2))
    for _ in range(5):
        before = (one - other).norm(dim=1)
        one, other = net.cell(one, injected), net.cell(other, injected)
        assert ((one - other).norm(dim=1) <= LIMIT * before * (1 + ROUNDING)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_above_the_limit_is_brought_back_and_keeps_its_zeros(
    kind: type[Equilibrium],
) -> None:
    net = network(kind)
    weights = list(net.cell.parameters())
    masks = [torch.rand(w.shape, generator=rng.generator(2, "masks")) < 0.1 for w in weights]
    with torch.no_grad():
        for weight, mask in zip(weights, masks, strict=True):
            weight.mul_(20 * mask)
    assert net.cell.norm() > 1
    shape = [weight / weight.norm() for weight in weights]
    net.keep_contraction()
    assert net.cell.norm().item() == pytest.approx(LIMIT, rel=ROUNDING)
    for weight, mask, before in zip(weights, masks, shape, strict=True):
        assert torch.equal(weight != 0, mask)
        assert torch.allclose(weight / weight.norm(), before, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_below_the_limit_keeps_its_bits(kind: type[Equilibrium]) -> None:
    net = network(kind)
    with torch.no_grad():
        for weight in net.cell.parameters():
            weight.mul_(0.5)
    before = [weight.clone() for weight in net.cell.parameters()]
    net.keep_contraction()
    assert all(map(torch.equal, before, net.cell.parameters()))


def test_weights_that_are_not_finite_stay_and_the_loss_tells() -> None:
    net = network(DEQTiny)
    with torch.no_grad():
        net.cell.state.weight[0, 0] = torch.nan
    net.keep_contraction()
    assert net.cell.state.weight[0, 0].isnan()
    assert net(images()).isnan().any()


@pytest.mark.parametrize("kind", KINDS)
def test_one_call_from_a_state_and_the_logits_there(kind: type[Equilibrium]) -> None:
    net, x = network(kind), images()
    classifier = EquilibriumClassifier(net, (0.0,), (1.0,))
    state = classifier.net.rest(x)
    for _ in range(net.calls):
        state, _ = classifier(x, state)
    assert torch.allclose(classifier(x), classifier(x, state)[1], atol=1e-6)
    assert equilibrium_of(nn.Sequential(classifier)) is net
    assert equilibrium_of(nn.Linear(2, 2)) is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_published_number_of_calls_leaves_little(kind: type[Equilibrium]) -> None:
    net, x = network(kind), images()
    with torch.no_grad():
        state = net.forward_features(x)
        rest = net.cell(state, net.inject(x)) - state
    start = net.cell(net.rest(x), net.inject(x))
    assert (rest.norm(dim=1) <= LIMIT**net.calls * start.norm(dim=1)).all()


def test_calls_and_limit_are_refused_that_make_no_fixed_point() -> None:
    with pytest.raises(ValueError, match="calls = 1: a fixed point takes 2"):
        DEQTiny(calls=1)
    with pytest.raises(ValueError, match="limit = 1: "):
        MDEQSmall(limit=1.0)
    with pytest.raises(ValueError, match="images of 8×7: both must be even"):
        MDEQSmall()(torch.zeros(1, 1, 8, 7))


def test_without_torchdeq_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixed_point, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'agc-bench\[equilibrium\]'"):
        DEQTiny()


def test_planning_knows_the_calls_without_a_network() -> None:
    def asked(name: str, **options: object) -> int | None:
        return cell_calls(SimpleNamespace(name=name, options=options))

    assert asked("deq_tiny") == DEQTiny().calls
    assert asked("mdeq_small") == MDEQSmall().calls
    assert asked("deq_tiny", calls=30) == 30
    assert asked("resnet8") is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"training": {"precision": "bfloat16"}}, "is solved in float32, not under bfloat16"),
        ({"method": "deepr", "sparsity": 0.9}, "method 'deepr' moves weights by noise"),
        ({"method": "bsr", "sparsity": 0.9}, "method 'bsr' moves weights by noise"),
    ],
)
def test_what_would_lose_the_fixed_point_is_refused(changes: dict, reason: str) -> None:
    cell = {"dataset": "digits", "architecture": "deq_tiny", **changes}
    with pytest.raises(UserError, match=reason):
        make_cell(cell)
    make_cell({**cell, "architecture": "resnet8"})
