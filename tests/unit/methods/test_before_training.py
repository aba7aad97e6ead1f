from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from agc import rng
from agc.errors import UserError
from agc.grids.cell import make_cell
from agc.methods.grasp import GraSP
from agc.methods.magnitude_init import MagnitudeInit
from agc.methods.shared.ranked import RankedMethod
from agc.methods.snip import SNIP
from agc.methods.synflow import SynFlow
from agc.sparsity.distributions import active_counts
from agc.training.build import build
from agc.training.loop import DataPass

Batch = tuple[Tensor, Tensor]
Weights = tuple[np.ndarray, np.ndarray]


def mean_loss(model: nn.Module, batch: Batch) -> Tensor:
    return cross_entropy(model(batch[0]), batch[1])


def two_layers() -> nn.Module:
    with rng.isolated(1):
        first, second = nn.Linear(6, 8, bias=False), nn.Linear(8, 4, bias=False)
        return nn.Sequential(first, nn.Tanh(), second).double()


def data(count: int = 4) -> list[Batch]:
    generator = rng.generator(0, "data")
    return [
        (
            torch.randn(9, 6, generator=generator, dtype=torch.float64),
            torch.randint(4, (9,), generator=generator),
        )
        for _ in range(count)
    ]


def weights_of(model: nn.Module) -> Weights:
    return model[0].weight.detach().numpy().copy(), model[2].weight.detach().numpy().copy()


def gradient_by_hand(weights: Weights, batch: Batch, temperature: float = 1.0) -> Weights:
    """Of the mean cross-entropy of W2 tanh(W1 x) / T, by the chain rule."""
    images, labels = batch[0].numpy(), batch[1].numpy()
    hidden = np.tanh(images @ weights[0].T)
    logits = hidden @ weights[1].T / temperature
    chances = np.exp(logits - logits.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    errors = (chances - np.eye(4)[labels]) / len(labels) / temperature
    back = (errors @ weights[1]) * (1 - hidden**2)
    return back.T @ images, errors.T @ hidden


def mean_by_hand(weights: Weights, batches: list[Batch], temperature: float = 1.0) -> Weights:
    found = [gradient_by_hand(weights, batch, temperature) for batch in batches]
    return sum(g[0] for g in found) / len(found), sum(g[1] for g in found) / len(found)


def scores_of(method: RankedMethod, batches: Any, loss: Any = mean_loss) -> list[dict[str, Tensor]]:
    """Scores at each iteration of the preparation."""
    seen: list[dict[str, Tensor]] = []
    original = method.scores

    def spy(*args: Any) -> dict[str, Tensor]:
        seen.append(original(*args))
        return seen[-1]

    method.scores = spy
    method.begin(batches, loss)
    return seen


@pytest.mark.parametrize("count", [1, 3])
def test_snip_scores_are_weight_times_gradient(count: int) -> None:
    model, batches = two_layers(), data()
    weights = weights_of(model)
    (scores,) = scores_of(SNIP(model, sparsity=0.5, batches=count), batches)
    gradient = mean_by_hand(weights, batches[:count])
    for score, weight, g in zip(scores.values(), weights, gradient, strict=True):
        np.testing.assert_allclose(score.numpy() / count, np.abs(weight * g), rtol=1e-10)


@pytest.mark.parametrize("count", [1, 3])
def test_grasp_scores_are_weight_times_hessian_times_gradient(count: int) -> None:
    model, batches = two_layers(), data()
    weights = weights_of(model)
    temperature, width = 2.0, 1e-5
    method = GraSP(model, sparsity=0.5, batches=count, temperature=temperature)
    (scores,) = scores_of(method, batches)
    gradient = mean_by_hand(weights, batches[:count], temperature)
    ends = [
        mean_by_hand(
            tuple(w + sign * width * g for w, g in zip(weights, gradient, strict=True)),
            batches[:count],
            temperature,
        )
        for sign in (1, -1)
    ]
    for score, weight, up, down in zip(scores.values(), weights, *ends, strict=True):
        product = weight * (up - down) / (2 * width)
        np.testing.assert_allclose(score.numpy(), product, rtol=1e-5, atol=1e-9)


def test_grasp_keeps_what_preserves_the_gradient() -> None:
    # H = diag(1, 4), w = (2, 1): g = H w = (2, 4), H g = (2, 16), and w H g = (4, 16).
    model = nn.Linear(2, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[2.0, 1.0]]))
    curvature = torch.tensor([1.0, 4.0])

    def quadratic(network: nn.Module, batch: Tensor) -> Tensor:
        return network(batch.double()).sum() * 0 + (curvature * network.weight**2).sum() / 2

    method = GraSP(model, sparsity=0.5, temperature=1.0)
    (scores,) = scores_of(method, [torch.eye(2)], quadratic)
    assert scores["weight"].tolist() == [[4.0, 16.0]]
    assert method.masks["weight"].tolist() == [[False, True]]


@pytest.mark.parametrize("revive", [False, True])
def test_iterative_snip_and_force_follow_an_independent_loop(revive: bool) -> None:
    model, batches, iterations, sparsity = two_layers(), data(), 5, 0.7
    dense = np.concatenate([w.ravel() for w in weights_of(model)])
    mask = np.ones(80, dtype=bool)
    came_back = 0
    for iteration in range(1, iterations + 1):
        left = dense * mask
        gradient = mean_by_hand((left[:48].reshape(8, 6), left[48:].reshape(4, 8)), batches[:1])
        score = np.abs(dense * np.concatenate([g.ravel() for g in gradient]))
        score = score if revive else np.where(mask, score, -1)
        pruned = round(56 * (1 - 0.3 ** (iteration / iterations)) / 0.7)
        new = np.zeros(80, dtype=bool)
        new[np.argsort(-score, kind="stable")[: 80 - pruned]] = True
        came_back += int((new & ~mask).sum())
        mask = new
    assert (came_back > 0) == revive
    method = SNIP(model, sparsity=sparsity, iterations=iterations, revive=revive)
    method.begin(batches, mean_loss)
    found = np.concatenate([m.numpy().ravel() for m in method.masks.values()])
    np.testing.assert_array_equal(found, mask)
    left = np.concatenate([w.ravel() for w in weights_of(model)])
    np.testing.assert_array_equal(left, dense * mask)
    assert method.exploration_rate() == pytest.approx(24 / 80)


def test_synflow_scores_are_sums_over_paths() -> None:
    with rng.isolated(1):
        model = nn.Sequential(nn.Linear(6, 8, bias=False), nn.ReLU(), nn.Linear(8, 4, bias=False))
    first, second = (np.abs(w).astype(np.float64) for w in weights_of(model))
    method = SynFlow(model, sparsity=0.5, iterations=1)
    (scores,) = scores_of(method, [(torch.zeros(3, 6), torch.zeros(3, dtype=torch.long))])
    np.testing.assert_allclose(scores["0.weight"], second.sum(0)[:, None] * first, rtol=1e-12)
    np.testing.assert_allclose(scores["2.weight"], second * first.sum(1), rtol=1e-12)


def chain(scale: float = 1.0) -> nn.Module:
    """Convolutions with batch norm and dropout in training mode, no biases, no shortcuts."""
    with rng.isolated(2):
        model = nn.Sequential(
            nn.Conv2d(3, 6, 3, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Conv2d(6, 6, 3, padding=1, groups=2, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6, 5, bias=False),
        )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    return model


IMAGES = [(torch.zeros(2, 3, 8, 8), torch.zeros(2, dtype=torch.long))]


def test_synflow_conserves_the_flow_through_each_layer() -> None:
    for scores in scores_of(SynFlow(chain(), sparsity=0.9, iterations=5), IMAGES):
        sums = [score.sum().item() for score in scores.values()]
        assert sums == pytest.approx([sums[0]] * 3, rel=1e-12)


def test_synflow_neither_overflows_nor_vanishes_where_single_precision_does() -> None:
    reference = SynFlow(chain(), sparsity=0.9)
    reference.begin(IMAGES, mean_loss)
    for scale in (1e-13, 1e13):
        method = SynFlow(chain(scale), sparsity=0.9)
        scores = scores_of(method, IMAGES)
        assert len(scores) == 100
        assert not 1e-38 < scores[0]["9.weight"].sum() < 1e38
        assert all(torch.equal(reference.masks[n], m) for n, m in method.masks.items())


def test_synflow_leaves_signs_statistics_modes_and_streams() -> None:
    model = chain()
    model[1].eval()
    with torch.no_grad():
        model[1].running_mean.fill_(-0.3)
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    stream = torch.get_rng_state()
    method = SynFlow(model, sparsity=0.8, iterations=3)
    method.begin(IMAGES, mean_loss)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name] * method.masks.get(name, 1))
    assert [m.training for m in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), stream)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_synflow_gives_ones_to_the_network_behind_the_normalisation(tiny_cell) -> None:
    run = build(tiny_cell(method="synflow", sparsity=0.8))
    seen: list[Tensor] = []
    run.model.net.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    run.method.begin(DataPass(run, 0), run.loss_fn)
    assert len(seen) == 101
    assert seen[-1].shape == (1, *seen[0].shape[1:])
    assert (seen[-1] - 1).abs().max() < 1e-12


def test_magnitude_init_keeps_the_largest_weights() -> None:
    model = two_layers()
    weights = np.concatenate([w.ravel() for w in weights_of(model)])
    method = MagnitudeInit(model, sparsity=0.75, iterations=3)
    method.begin([], mean_loss)
    mask = np.concatenate([m.numpy().ravel() for m in method.masks.values()])
    assert set(np.flatnonzero(mask)) == set(np.argsort(-np.abs(weights))[:20])


@pytest.mark.parametrize("method_class", [SNIP, GraSP, SynFlow, MagnitudeInit])
def test_layers_keep_what_a_distribution_gives_them(method_class: type) -> None:
    model = two_layers()
    method = method_class(model, sparsity=0.6, distribution={"0": 0.75}, iterations=7)
    method.begin(data(), mean_loss)
    assert method.active() == active_counts(
        {"0.weight": (8, 6), "2.weight": (4, 8)}, 0.6, {"0": 0.75}
    )
    assert method.active()["0.weight"] == 12


@pytest.mark.parametrize("method_class", [SNIP, GraSP])
def test_a_frozen_layer_is_scored_and_stays_frozen(method_class: type) -> None:
    model, free = two_layers(), two_layers()
    model[0].weight.requires_grad_(False)
    frozen = scores_of(method_class(model, sparsity=0.5), data())
    assert not model[0].weight.requires_grad
    expected = scores_of(method_class(free, sparsity=0.5), data())
    assert all(torch.equal(frozen[0][n], expected[0][n]) for n in expected[0])


@pytest.mark.parametrize("method_class", [SNIP, GraSP])
def test_scores_read_the_adversarial_loss_and_leave_the_statistics(method_class, tiny_cell) -> None:
    name = {SNIP: "snip", GraSP: "grasp"}[method_class]
    run = build(tiny_cell(method=name, sparsity=0.8, objective="pgd-at"))
    before = {name: buffer.clone() for name, buffer in run.model.named_buffers()}
    moved: list[float] = []

    def spy(model: nn.Module, batch: Any) -> Tensor:
        moved.append((batch.images - batch.clean).abs().max().item())
        return run.loss_fn(model, batch)

    run.method.begin(DataPass(run, 0), spy)
    assert len(moved) == {SNIP: 1, GraSP: 2}[method_class]
    assert all(0 < distance <= 8 / 255 + 1e-6 for distance in moved)
    assert all(torch.equal(before[n], b) for n, b in run.model.named_buffers())


def test_more_batches_than_there_are_is_refused() -> None:
    method = SNIP(two_layers(), sparsity=0.5, batches=5)
    with pytest.raises(UserError, match="batches = 5: there are only 4"):
        method.begin(data(), mean_loss)
    with pytest.raises(UserError, match="batches = 0"):
        make_cell(
            {"dataset": "digits", "architecture": "resnet8", "sparsity": 0.8}
            | {"method": {"name": "snip", "options": {"batches": 0}}}
        )
