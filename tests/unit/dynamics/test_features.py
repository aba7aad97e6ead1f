"""Derivatives of a network's outputs: those of autograd, with masks, in batches, and projected."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from agc import rng
from agc.dynamics.features import (
    active_weights,
    linearise,
    mixes_images,
    project,
    unprojected,
)

BATCH = 4


def network(normalised: bool = True) -> nn.Module:
    with rng.isolated(2):
        return nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1),
            nn.BatchNorm2d(3) if normalised else nn.Identity(),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(3 * 16, 3),
        ).double()


def images(count: int = 8) -> Tensor:
    return torch.randn(count, 1, 4, 4, generator=rng.generator(0, "images"), dtype=torch.float64)


def masks(model: nn.Module) -> dict[str, Tensor]:
    draw = rng.generator(0, "masks")
    named = dict(model.named_parameters())
    return {
        name: torch.rand(named[name].shape, generator=draw) < 0.5
        for name in ("0.weight", "4.weight")
    }


def by_autograd(model: nn.Module, x: Tensor, kept: dict[str, Tensor]) -> Tensor:
    """Derivatives of each output of the network whose weights are multiplied by their masks."""
    bare = {
        name: weight.detach().clone().requires_grad_() for name, weight in model.named_parameters()
    }
    rows = []
    model.train()
    for part in x.split(BATCH):
        shown = {name: w * kept[name] if name in kept else w for name, w in bare.items()}
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        outputs = torch.func.functional_call(model, (shown, buffers), (part,))
        for output in outputs.flatten():
            found = torch.autograd.grad(output, list(bare.values()), retain_graph=True)
            rows.append(torch.cat([gradient.flatten() for gradient in found]))
    return torch.stack(rows)


def test_the_kernel_of_a_sparse_network_is_that_of_autograd_on_it() -> None:
    model, x = network(), images()
    kept = masks(model)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name in kept:
                weight.mul_(kept[name])
    rows = by_autograd(model, x, kept)
    active = active_weights(model, kept)
    found = linearise(model, x, unprojected(active), BATCH)
    assert not rows[:, ~active].any()
    torch.testing.assert_close(found.features.flatten(0, 1), rows[:, active])
    # Θ_M = J M Jᵀ, where J is that of the same network without masks.
    dense = linearise(model, x, unprojected(torch.ones_like(active)), BATCH)
    jacobian = dense.features.flatten(0, 1)
    torch.testing.assert_close(found.kernel(), jacobian @ torch.diag(active.double()) @ jacobian.T)
    torch.testing.assert_close(found.kernel(), rows @ rows.T)
    flat = torch.cat([weight.detach().flatten() for weight in model.parameters()])
    assert torch.equal(found.weights, flat[active])


def test_a_network_is_left_as_it_was() -> None:
    model = network().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    linearise(model, images(), unprojected(active_weights(model, {})), BATCH)
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


def test_groups_matter_where_layers_mix_images_and_nowhere_else() -> None:
    for normalised in (True, False):
        model = network(normalised)
        assert mixes_images(model) == normalised
        whole = unprojected(active_weights(model, {}))
        each, together = (linearise(model, images(), whole, group) for group in (BATCH, 8))
        same = torch.allclose(each.features, together.features, atol=1e-12)
        assert same != normalised


def test_frozen_weights_are_not_active() -> None:
    model = network()
    model[4].bias.requires_grad_(False)
    active = active_weights(model, {})
    assert (~active).sum() == 3
    assert not active[-3:].any()


def test_the_projected_kernel_is_unbiased_with_the_variance_of_hashing() -> None:
    model, x, size, draws = network(), images(4), 64, 400
    active = active_weights(model, {})
    exact = linearise(model, x, unprojected(active), BATCH)
    rows = exact.features.flatten(0, 1)
    kernels = []
    for seed in range(draws):
        projection = project(active, size, rng.generator(seed, "sketch"))
        projected = projection(rows)
        kernels.append(projected @ projected.T)
    found = torch.stack(kernels)
    # Pairs of weights that share a place, each with its own sign.
    squares = rows.square()
    norms = squares.sum(dim=1)
    pairs = norms[:, None] * norms + (rows @ rows.T).square() - 2 * squares @ squares.T
    error = (pairs / size).sqrt()
    z = (found.mean(dim=0) - exact.kernel()) / (error / draws**0.5)
    assert z.abs().max() < 5
    ratio = found.var(dim=0) / error.square()
    assert ratio.mean().item() == pytest.approx(1, abs=0.1)


def test_a_projection_is_that_of_rows_and_weights_alike() -> None:
    model, x = network(), images()
    active = active_weights(model, masks(model))
    projection = project(active, 32, rng.generator(0, "sketch"))
    found = linearise(model, x, projection, BATCH)
    exact = linearise(model, x, unprojected(active), BATCH)
    assert found.features.shape == (8, 3, 32)
    assert torch.equal(found.outputs, exact.outputs)
    matrix = torch.zeros(int(active.sum()), 32, dtype=torch.float64)
    matrix[range(len(matrix)), projection.place] = projection.sign.double()
    torch.testing.assert_close(found.features, exact.features @ matrix)
    torch.testing.assert_close(found.weights, exact.weights @ matrix)
