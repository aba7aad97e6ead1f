"""Random layers draw from the batch's seed, whatever way the network calls them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from agc.datasets.shared.loader import Batch
from agc.objectives.standard import Standard
from agc.training.loss import draws_noise, loss_function


class Functional(nn.Module):
    """Dropout without a module, as in timm's residual networks."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(functional.dropout(self.norm(x), 0.5, self.training))


NETWORKS = {
    "functional": (Functional, True),
    "module": (lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3)), True),
    "none": (lambda: nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3)), False),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_noise_is_found_and_nothing_is_left_behind(name: str) -> None:
    make, noisy = NETWORKS[name]
    model, images = make(), torch.rand(4, 6)
    stream = torch.get_rng_state()
    buffers = [buffer.clone() for buffer in model.buffers()]
    assert draws_noise(model, images) == noisy
    assert torch.equal(torch.get_rng_state(), stream)
    assert all(torch.equal(a, b) for a, b in zip(buffers, model.buffers(), strict=True))


def test_same_batch_drops_the_same_units_and_moves_no_stream() -> None:
    model = Functional()
    loss_fn = loss_function(Standard(), "float32", noisy=True)
    images, labels = torch.rand(8, 6), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    stream = torch.get_rng_state()
    one = loss_fn(model, Batch(images, labels, noise=1))
    torch.rand(3)
    again = loss_fn(model, Batch(images, labels, noise=1))
    other = loss_fn(model, Batch(images, labels, noise=2))
    torch.set_rng_state(stream)
    loss_fn(model, Batch(images, labels, noise=1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), stream)
