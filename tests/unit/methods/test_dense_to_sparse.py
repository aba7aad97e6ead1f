from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from agc import RigL, rng
from agc.methods.gmp import GMP
from agc.methods.granet import GraNet
from agc.methods.lottery import Lottery
from agc.sparsity.masks import top_mask
from agc.sparsity.schedules import CubicSchedule
from agc.training.build import build
from agc.training.loop import train


def test_the_cubic_schedule_worked_by_hand() -> None:
    # Fractions .1 and .75 of 20 steps: from step 2 to 15, four prunings at 5, 8, 11 and 14.
    schedule = CubicSchedule(0.1, 0.75, 20, 3)
    due = [step for step in range(1, 21) if schedule.due(step)]
    assert due == [5, 8, 11, 14]
    # 0.2 + 0.6 (1 - (1 - k/4)³)
    expected = [0.2 + 0.6 * part / 64 for part in (37, 56, 63, 64)]
    assert [schedule.sparsity(step, 0.2, 0.8) for step in due] == pytest.approx(expected)
    assert [schedule.sparsity(step, 0.2, 0.8) for step in (0, 4)] == pytest.approx([0.2, 0.2])
    assert schedule.sparsity(20, 0.2, 0.8) == 0.8


@pytest.mark.parametrize(("total", "interval"), [(1, 1), (1, 100), (7, 100), (30, 4), (400, 100)])
def test_a_schedule_always_ends_within_the_training(total: int, interval: int) -> None:
    schedule = CubicSchedule(0.5, 1.0, total, interval)
    due = [step for step in range(1, total + 1) if schedule.due(step)]
    assert due
    assert schedule.sparsity(due[-1], 0.0, 0.9) == 0.9
    assert all(schedule.sparsity(step, 0.0, 0.9) < 0.9 for step in due[:-1])


def test_a_schedule_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"end at 0\.2 of the training and start at 0\.5"):
        GMP(
            nn.Linear(4, 4), None, sparsity=0.5, total_steps=9, start_fraction=0.5, end_fraction=0.2
        )


def counts(method: GMP | GraNet | Lottery) -> list[int]:
    return list(method.active().values())


def test_gmp_prunes_the_smallest_weights_to_the_cubic_densities() -> None:
    model = nn.Sequential(nn.Linear(10, 16, bias=False), nn.Linear(16, 20, bias=False))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    options = {"total_steps": 20, "update_interval": 3, "start_fraction": 0.1}
    method = GMP(model, optimizer, sparsity=0.8, **options)
    assert counts(method) == [160, 320]
    generator = rng.generator(0, "gradients")
    for step in range(1, 21):
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
        before = {n: (m.clone(), model.get_parameter(n).abs()) for n, m in method.masks.items()}
        assert method.advance() == (step in (5, 8, 11, 14))
        # 128 and 256 weights are pruned in the end, and (37, 56, 63, 64) / 64 of them on the way.
        done = {0: 0, 1: 37, 2: 56, 3: 63, 4: 64}[min(4, max(0, step - 2) // 3)]
        assert counts(method) == [160 - 2 * done, 320 - 4 * done]
        for name, (mask, size) in before.items():
            now = method.masks[name]
            assert not (now & ~mask).any()
            if (mask & ~now).any():
                assert size[mask & ~now].max() < size[now].min()
            weight = model.get_parameter(name)
            assert not weight[~now].any()
            assert not optimizer.state[weight]["momentum_buffer"][~now].any()
    assert method.exploration_rate() == 1.0


def test_gmp_leaves_frozen_layers_dense_and_reaches_the_sparsity_by_the_others() -> None:
    model = nn.Sequential(nn.Linear(10, 10, bias=False), nn.Linear(10, 10, bias=False))
    model[0].weight.requires_grad_(False)
    method = GMP(model, None, sparsity=0.45, total_steps=4, distribution="global")
    before = model[0].weight.clone()
    for _ in range(4):
        method.advance()
    assert counts(method) == [100, 10]
    assert torch.equal(model[0].weight, before)


def test_granet_prunes_and_regrows_the_right_counts() -> None:
    layer = nn.Linear(16, 10, bias=False)
    options = {"total_steps": 8, "update_interval": 2, "sparsity": 0.9}
    method = GraNet(layer, torch.optim.SGD(layer.parameters(), lr=0.1), **options)
    started = method.masks["weight"].clone()
    assert counts(method) == [80]
    # Pruned to 0.9 - 0.4 (1 - k/2)³ at steps 2 and 4; drop fraction (1 + cos(π t / 8)) / 4 of
    # what is left, rounded down, at steps 2, 4 and 6; none at the end.
    expected = {2: (24, 10), 4: (16, 4), 6: (16, 1)}
    for step in range(1, 9):
        with torch.no_grad():
            layer.weight.copy_(method.masks["weight"] * torch.arange(1.0, 161.0).reshape(10, 16))
        before = method.masks["weight"].clone()
        # The gradient wants none of the present weights.
        layer.weight.grad = torch.where(before, 0.0, 1.0)
        method.observe()
        assert method.advance() == (step in expected)
        now = method.masks["weight"]
        active, regrown = expected.get(step, (int(before.sum()), 0))
        assert counts(method) == [active]
        assert int((now & ~before).sum()) == regrown
        survivors = top_mask(
            torch.where(before, layer.weight.new_tensor(range(160)).view(10, 16), -1),
            active - regrown,
        )
        assert torch.equal(now & before, survivors)
        assert not layer.weight[now & ~before].any()
    assert method.dense_gradients == 3
    assert method.exploration_rate() > started.float().mean()


def test_granet_keeps_what_it_drops_and_regrows_and_not_what_it_prunes() -> None:
    layer = nn.Linear(10, 1, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0, momentum=0.9)
    options = {"update_interval": 1, "prune_end_fraction": 0.01, "drop_schedule": "constant"}
    method = GraNet(
        layer, optimizer, sparsity=0.5, initial_sparsity=0.0, total_steps=100, **options
    )
    with torch.no_grad():
        layer.weight.copy_(torch.arange(1.0, 11.0))
    layer.weight.grad = torch.tensor([[9.0, 0, 0, 0, 0, 8.0, 0, 0, 0, 0]])
    method.observe()
    optimizer.step()
    method.advance()
    # 1 to 5 are pruned, 6 and 7 dropped; the gradient regrows 1, which is 0, and 6, which stays 6.
    assert method.masks["weight"].tolist() == [[True, *[False] * 4, True, False, *[True] * 3]]
    assert layer.weight.tolist() == [[0, 0, 0, 0, 0, 6, 0, 8, 9, 10]]
    momentum = optimizer.state[layer.weight]["momentum_buffer"]
    assert momentum.tolist() == [[0, 0, 0, 0, 0, 8, 0, 0, 0, 0]]


@pytest.mark.parametrize("distribution", ["global", "uniform", {"0": 0.75}])
def test_granet_starts_and_ends_by_its_distribution(distribution) -> None:
    model = nn.Sequential(nn.Linear(10, 16, bias=False), nn.Linear(16, 20, bias=False))
    method = GraNet(
        model, None, sparsity=0.8, total_steps=9, update_interval=2, distribution=distribution
    )
    assert method.sparsity() == pytest.approx(0.5, abs=2 / 480)
    generator = rng.generator(0, "gradients")
    for _ in range(9):
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        method.observe()
        method.advance()
    assert sum(counts(method)) == 96
    if distribution != "global":
        assert counts(method) == ([32, 64] if distribution == "uniform" else [40, 56])


def test_granet_that_starts_at_its_sparsity_is_rigl() -> None:
    found = []
    for make in (
        lambda *a, **o: GraNet(*a, initial_sparsity=0.8, **o),
        lambda *a, **o: RigL(*a, distribution="erk", end_fraction=1.0, **o),
    ):
        with rng.isolated(0):
            model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 20))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        options = {"total_steps": 20, "update_interval": 2, "drop_fraction": 0.5, "sparsity": 0.8}
        method = make(model, optimizer, **options)
        generator = rng.generator(0, "gradients")
        for _ in range(20):
            for parameter in model.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            method.observe()
            optimizer.step()
            method.advance()
        found.append([p.detach().clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


Batch = tuple[Tensor, Tensor]


def network() -> nn.Module:
    with rng.isolated(3):
        return nn.Sequential(
            nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 4, bias=False)
        )


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, weight_decay=1e-3)


def batches(count: int = 12) -> Iterator[Batch]:
    generator = rng.generator(0, "data")
    for _ in range(count):
        yield torch.randn(16, 6, generator=generator), torch.randint(4, (16,), generator=generator)


def learn(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
    optimizer.step()


@pytest.mark.parametrize("rewind", [0, 2])
def test_lottery_rounds_are_trainings_of_their_own_from_the_rewound_weights(rewind: int) -> None:
    model = network()
    optimizer = sgd(model)
    method = Lottery(
        model, optimizer, sparsity=0.84, total_steps=12, rounds=3, rewind_fraction=rewind / 4
    )
    # The same by hand: fresh copies, fresh optimizers, masks from the weights at a round's end.
    start, mine = copy.deepcopy(network()), copy.deepcopy(network())
    fresh, masks = sgd(mine), {n: torch.ones_like(p).bool() for n, p in method.parameters.items()}
    for step, batch in enumerate(batches(), start=1):
        learn(model, optimizer, batch)
        learn(mine, fresh, batch)
        for name, mask in masks.items():
            mine.get_parameter(name).data *= mask
        if step == rewind:
            start = copy.deepcopy(mine)
        assert method.advance() == (step in (4, 8))
        if step in (4, 8):
            sizes = {n: mine.get_parameter(n).abs() * m for n, m in masks.items()}
            flat = torch.cat([size.flatten() for size in sizes.values()])
            # 72 + 48 weights, 0.16 of them in the end: 48 and 19 stay.
            threshold = flat.sort(descending=True).values[{4: 48, 8: 19}[step] - 1]
            masks = {n: size >= threshold for n, size in sizes.items()}
            mine = copy.deepcopy(start)
            fresh = sgd(mine)
            for name, mask in masks.items():
                mine.get_parameter(name).data *= mask
            assert not optimizer.state
            assert sum(counts(method)) == {4: 48, 8: 19}[step]
        expected = mine.state_dict()
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, expected[name]), (step, name)
        assert all(torch.equal(method.masks[n], m) for n, m in masks.items())


def test_the_learning_rate_starts_anew_with_each_round(tiny_cell) -> None:
    def rates(method: str, sparsity: float, epochs: int, **options: object) -> list[float]:
        training = {"epochs": epochs, "schedule": {"name": "cosine"}}
        cell = tiny_cell(training, method={"name": method, "options": options}, sparsity=sparsity)
        run = build(cell)
        found, sparse = [], []
        for _ in train(run):
            found.append(run.optimizer.param_groups[0]["lr"])
            sparse.append(run.method.sparsity())
        if method == "lottery":
            expected = [0, 0, 1 - math.sqrt(0.1), 1 - math.sqrt(0.1), 0.9, 0.9]
            assert sparse == pytest.approx([*expected[1:], 0.9], abs=1e-3)
        return found

    assert rates("lottery", 0.9, 6, rounds=3) == 3 * rates("dense", 0.0, 2)


def test_rounds_must_divide_the_epochs_and_fit_the_steps(tiny_cell) -> None:
    cell = tiny_cell({"epochs": 4})
    assert Lottery.refuse(cell, rounds=2) is None
    assert Lottery.refuse(cell, rounds=3) == "4 epochs are no multiple of 3 rounds"
    with pytest.raises(ValueError, match="4 steps are too few for 5 rounds"):
        Lottery(nn.Linear(4, 4), None, sparsity=0.5, total_steps=4)
