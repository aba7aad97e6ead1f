from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agc.conformance.method_problem import Problem
from agc.errors import UserError
from agc.methods.n_m import NM, pattern
from agc.registry import METHODS
from agc.sparsity.distributions import InfeasibleSparsityError


def largest_of_groups(weight: Tensor, n: int, m: int) -> np.ndarray:
    """The rule again, with loops: which weights of a convolution [out, in, h, w] are active."""
    values = weight.detach().abs().permute(0, 2, 3, 1).numpy()
    active = np.zeros(values.shape, dtype=bool)
    for out, row, column in np.ndindex(*values.shape[:3]):
        for start in range(0, values.shape[3], m):
            group = values[out, row, column, start : start + m]
            active[out, row, column, start + np.argsort(-group, kind="stable")[:n]] = True
    return active.transpose(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("sparsity", "m", "expected"),
    [
        (0.5, None, (2, 4)),
        (0.75, None, (1, 4)),
        (0.875, None, (1, 8)),
        (0.8, None, (1, 5)),
        (0.9, None, (1, 10)),
        (0.95, None, (1, 20)),
        (0.98, None, (1, 50)),
        (0.5, 8, (4, 8)),
        (0.75, 8, (2, 8)),
        (2 / 3, None, (1, 3)),
    ],
)
def test_the_pattern_follows_from_the_sparsity(
    sparsity: float, m: int | None, expected: tuple[int, int]
) -> None:
    assert pattern(sparsity, m) == expected


@pytest.mark.parametrize(
    ("sparsity", "m", "message"),
    [
        (
            0.8,
            4,
            r"m = 4 has no sparsity 0.8; possible are 0.75 \(1:4\), 0.5 \(2:4\), 0.25 \(3:4\)",
        ),
        (0.123, None, r"sparsity 0.123 is no 1 - n/m with m up to 128; the nearest is \d+/\d+"),
        (0.9999, None, r"the nearest is 127/128 \(1:128\)"),
        (0.0, None, "sparsity 0 is no"),
    ],
)
def test_a_sparsity_without_a_pattern_is_refused_with_what_is_possible(
    sparsity: float, m: int | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        NM(nn.Linear(8, 8), None, sparsity=sparsity, m=m)


def test_cells_are_refused_before_anything_runs() -> None:
    class Cell:
        sparsity = 0.8

    assert NM.refuse(Cell, m=None) is None
    assert "possible are" in NM.refuse(Cell, m=4)
    with pytest.raises(UserError, match="option m = 1"):
        METHODS.resolve("n:m", {"m": 1})


def test_groups_along_the_input_channels_hold_at_every_step() -> None:
    model = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten())
    model = model.append(nn.Linear(8 * 2 * 2, 7)).to(memory_format=torch.channels_last)
    problem = Problem("n:m", model=model, sparsity=0.5, keep_dense=("0",))
    method, changes = problem.method, 0
    for changed in chain([True], problem.steps()):
        changes += changed
        conv, linear = (method.masks[name] for name in ("2.weight", "4.weight"))
        # What is hidden would be the whole weight's smaller half: together they give the masks.
        whole = {n: p + method.hidden[n] for n, p in method.parameters.items()}
        assert np.array_equal(conv.numpy(), largest_of_groups(whole["2.weight"], 2, 4))
        rows = whole["4.weight"][:, :, None, None]
        assert np.array_equal(linear.numpy(), largest_of_groups(rows, 2, 4)[:, :, 0, 0])
        assert (method.hidden["2.weight"][~conv] != 0).all()
    assert changes > 3


@pytest.mark.parametrize(("sparsity", "m"), [(0.5, 4), (0.75, 4), (0.8, 5), (0.875, 8), (0.7, 10)])
def test_short_groups_keep_their_share_and_the_total_is_exact(sparsity: float, m: int) -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Conv2d(5, 3, 3), nn.Flatten(), nn.Linear(3 * 4, 7)
    )
    method = NM(model, None, sparsity=sparsity, m=m)
    total = sum(p.numel() for p in method.parameters.values())
    assert sum(method.active().values()) == round((1 - sparsity) * total)
    n = round((1 - sparsity) * m)
    for mask in method.masks.values():
        rows = mask.movedim(1, -1).flatten(1)
        whole = rows.shape[1] // m * m
        assert (rows[:, :whole].reshape(len(rows), -1, m).sum(dim=2) == n).all()
        rest = rows[:, whole:]
        share = rest.shape[1] * n / m
        assert ((rest.sum(dim=1) - share).abs() < 1).all()


def test_a_step_worked_by_hand() -> None:
    layer = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.4, -0.3, 0.29, 0.1]]))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    method = NM(layer, optimizer, sparsity=0.5, decay=0.5)
    assert layer.weight.tolist()[0] == pytest.approx([0.4, -0.3, 0, 0])
    # y = 0.4·1 + 0.3·1 = 0.7; the gradient of y² / 2 is y x, at masked weights too.
    with method.updating() as update:
        with method.shown(None, None):
            (0.5 * layer(torch.tensor([[1.0, -1.0, -2.0, 1.0]])) ** 2).sum().backward()
            assert layer.weight.grad.tolist()[0] == pytest.approx([0.7, -0.7, -1.4, 0.7])
        # Those that are masked decay: half of .29 and of .1.
        assert layer.weight.grad.tolist()[0] == pytest.approx([0.7, -0.7, -1.255, 0.75])
        optimizer.step()
    assert update.changed
    # .4 - .07 = .33, -.3 + .07 = -.23, .29 + .1255 = .4155, .1 - .075 = .025.
    assert layer.weight.tolist()[0] == pytest.approx([0.33, 0, 0.4155, 0])
    assert method.hidden["weight"].tolist()[0] == pytest.approx([0, -0.23, 0, 0.025])


def test_it_is_the_straight_through_estimator_with_decay_by_autograd() -> None:
    """Against a dense weight behind a mask whose gradient is taken for that of the weight."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(12, 16, 8, generator=generator)
    start = torch.randn(3, 8, generator=generator)
    dense = start.clone().requires_grad_()
    reference = torch.optim.SGD([dense], lr=0.05, momentum=0.9, weight_decay=0.01)
    layer = nn.Linear(8, 3, bias=False)
    with torch.no_grad():
        layer.weight.copy_(start)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    method = NM(layer, optimizer, sparsity=0.75, decay=0.1)
    for batch in inputs:
        mask = torch.tensor(largest_of_groups(dense[:, :, None, None], 1, 4)[:, :, 0, 0])
        reference.zero_grad()
        through = dense + (dense * mask - dense).detach()
        ((batch @ through.T).square().mean() + 0.05 * (dense * ~mask).square().sum()).backward()
        reference.step()
        optimizer.zero_grad()
        with method.updating():
            with method.shown(batch, None):
                layer(batch).square().mean().backward()
            optimizer.step()
        whole = layer.weight + method.hidden["weight"]
        torch.testing.assert_close(whole, dense)
    assert method.exploration_rate() > 0.25


def test_a_layer_that_would_keep_nothing_is_refused() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 40))
    with pytest.raises(InfeasibleSparsityError, match=r"sparsity 0\.98"):
        NM(model, None, sparsity=0.98)
