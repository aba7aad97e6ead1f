"""Corrections that cost nothing: centralisation over active weights, and skew."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from agc.corrections.centralize import Centralize
from agc.corrections.none import NoCorrection
from agc.corrections.sparse_skew import SparseSkew
from agc.methods.static import Static
from tests.support.agc_problems import mean_loss, partition, smooth_network
from tests.support.correction_problems import (
    convolutions,
    follow,
    gradient,
    image_loss,
    images,
)


@pytest.mark.parametrize("sparsity", [0.0, 0.6])
def test_a_centralised_gradient_sums_to_zero_over_each_filters_active_weights(
    sparsity: float,
) -> None:
    model, batch = convolutions(), images()
    correction = Centralize(model)
    masks = {n: torch.ones_like(p, dtype=torch.bool) for n, p in model.named_parameters()}
    if sparsity:
        sparse = Static(model, sparsity=sparsity)
        correction.attach(sparse)
        masks |= sparse.masks
    gradient(model, batch, image_loss)
    raw = {n: p.grad.clone() for n, p in model.named_parameters()}
    gradient(model, batch, image_loss, correction)
    for name, parameter in model.named_parameters():
        found, mask = parameter.grad.clone(), masks[name]
        if parameter.dim() == 1:
            assert torch.equal(found, raw[name])
            continue
        for row, before, active in zip(found, raw[name], mask, strict=True):
            assert row[active].sum().abs().item() < 1e-15
            assert torch.equal(row[~active], before[~active])
            if active.any():
                mean = before[active].mean()
                torch.testing.assert_close(row[active], before[active] - mean, rtol=0, atol=1e-15)
        assert (raw[name] * mask).flatten(1).sum(dim=1).abs().max() > 1e-3
        correction.correct(batch, image_loss)  # once more: a projection
        torch.testing.assert_close(parameter.grad, found, rtol=0, atol=1e-16)


def test_centralisation_follows_the_masks() -> None:
    model = nn.Linear(4, 1, bias=False).double()
    correction = Centralize(model)
    mask = torch.tensor([[True, True, False, False]])
    correction.attach(SimpleNamespace(masks={"weight": mask}))
    model.weight.grad = torch.tensor([[1.0, 3.0, 5.0, 7.0]]).double()
    correction.correct(None, None)
    assert model.weight.grad.tolist() == [[-1.0, 1.0, 5.0, 7.0]]
    mask.copy_(torch.tensor([[False, True, True, False]]))
    model.weight.grad = torch.tensor([[1.0, 3.0, 5.0, 7.0]]).double()
    correction.correct(None, None)
    assert model.weight.grad.tolist() == [[1.0, -1.0, 1.0, 7.0]]


# --- skew ---------------------------------------------------------------------------------------


def test_the_factors_of_sparse_skew_by_hand() -> None:
    model = nn.Linear(4, 2, bias=True).double()
    correction = SparseSkew(model)
    masks = {"weight": torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0]]).bool()}
    correction.attach(SimpleNamespace(masks=masks))

    def corrected() -> list[list[float]]:
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        correction.correct(None, None)
        assert model.bias.grad.tolist() == [1.0, 1.0]
        return model.weight.grad.tolist()

    # Densities of 1 and 1/4, of 5/8 together: √(1 / (5/8)) and √((1/4) / (5/8)).
    expected = np.sqrt([1.6, 0.4])
    np.testing.assert_allclose(corrected(), np.repeat(expected[:, None], 4, axis=1), rtol=1e-6)
    masks["weight"].copy_(torch.tensor([[0, 0, 0, 1], [1, 1, 1, 0]]))
    correction.on_topology_update(masks)
    expected = np.sqrt([0.5, 1.5])
    np.testing.assert_allclose(corrected(), np.repeat(expected[:, None], 4, axis=1), rtol=1e-6)


@pytest.mark.parametrize("active", [1, 2, 3, 4, 5, 6])
def test_sparse_skew_is_sgd_where_all_neurons_have_as_many_weights(active: int) -> None:
    paths = []
    for make in (NoCorrection, SparseSkew):
        model = smooth_network()
        mask = torch.zeros(8, 6, dtype=torch.bool)
        for row in range(8):
            mask[row, [(row + k) % 6 for k in range(active)]] = True
        correction = make(model)
        correction.attach(SimpleNamespace(masks={"0.weight": mask}))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
        paths.append(follow(model, correction, partition(), mean_loss, optimizer))
    torch.testing.assert_close(paths[0], paths[1], rtol=1e-6, atol=1e-7)


def test_factors_of_a_transposed_convolution_are_loaded_and_those_of_another_refused() -> None:
    def made(width: int) -> SparseSkew:
        model = nn.Sequential(nn.ConvTranspose2d(4, width, 3, groups=2))
        correction = SparseSkew(model)
        correction.on_topology_update({"0.weight": torch.ones_like(model[0].weight).bool()})
        return correction

    one, other = made(6), made(6)
    other.load_state_dict(one.state_dict())
    assert torch.equal(other.factors["0.weight"], one.factors["0.weight"])
    with pytest.raises(ValueError, match=r"factors\['0.weight'\] has shape"):
        other.load_state_dict(made(8).state_dict())
