"""Gradient correction (AGC) from recorded gradients, which costs no second one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agc import rng
from agc.conformance.correction_problem import through_a_file
from agc.corrections.agc_recorded import RecordedAGC
from agc.datasets.shared.loader import Batch
from agc.errors import UserError
from agc.methods.static import Static
from tests.support.agc_problems import mean_loss, partition, smooth_network
from tests.support.correction_problems import (
    Point,
    convolutions,
    gradient,
    image_loss,
    images,
    linear_loss,
)


def slopes(count: int = 6, size: int = 8) -> list[Batch]:
    """Batches whose gradient is a vector of multiples of 1/8, which half precision holds."""
    generator = rng.generator(2, "slopes")
    table = torch.randint(-16, 17, (count, size), generator=generator).double() / 8
    return [Batch(row, torch.zeros(1), index=index) for index, row in enumerate(table)]


def recorded(size: int = 8, **options: Any) -> tuple[Point, RecordedAGC, Tensor]:
    """A point of which half of the weights are active, its correction, and the mask."""
    model = Point(torch.ones(size))
    mask = torch.arange(size) % 2 == 0
    with torch.no_grad():
        model.weight.mul_(mask)
    correction = RecordedAGC(model, **options)
    correction.attach(SimpleNamespace(masks={"weight": mask}))
    return model, correction, mask


def full_mean(batches: list[Batch], mask: Tensor) -> Tensor:
    return torch.stack([b.images for b in batches]).mean(dim=0)[mask]


def test_with_unchanged_weights_and_all_gradients_recorded_a_step_takes_their_mean() -> None:
    batches = slopes()
    model, correction, mask = recorded()
    correction.begin_epoch(batches, linear_loss)
    for batch in batches:  # the first visit is plain
        found = gradient(model, batch, linear_loss, correction)
        assert torch.equal(found, batch.images)
    for batch in batches:
        correction.products["weight"].fill_(1.0)
        correction.squares["weight"].fill_(1.0)
        found = gradient(model, batch, linear_loss, correction)
        torch.testing.assert_close(found[mask], full_mean(batches, mask), rtol=0, atol=1e-6)
        assert torch.equal(found[~mask], batch.images[~mask])


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_the_coefficient_of_recorded_gradients_is_that_of_the_regression(memory: float) -> None:
    batches = slopes()
    model, correction, mask = recorded(gamma=0.5, memory=memory)
    correction.begin_epoch(batches, linear_loss)
    for batch in batches:
        gradient(model, batch, linear_loss, correction)
    records = torch.stack([b.images for b in batches])[:, mask].numpy()
    products = squares = 0.0
    for step in range(12):
        index = (step * 5) % 6
        fresh = batches[index]._replace(images=batches[index].images * 2 ** (step % 3))
        g, r, u = fresh.images[mask].numpy(), records[index], records.mean(axis=0)
        c = products / squares if squares else 0.0
        found = gradient(model, fresh, linear_loss, correction)[mask].numpy()
        np.testing.assert_allclose(found, g + 0.5 * c * (u - r), rtol=0, atol=2e-6)
        products = memory * products + g @ (r - u)
        squares = memory * squares + (r - u) @ (r - u)
        assert correction.diagnostics()["tau"] == pytest.approx(products / squares, rel=1e-5)
        records[index] = g


def test_the_mean_is_that_of_the_records_at_every_step_and_after_an_update() -> None:
    batches = slopes()
    model, correction, mask = recorded()
    generator = rng.generator(5, "visits")
    correction.begin_epoch(batches, linear_loss)

    def check() -> None:
        seen = correction.records["weight"][correction.seen].float().mean(dim=0)
        torch.testing.assert_close(correction.mean["weight"], seen, rtol=0, atol=2e-6)
        assert len(correction.places["weight"]) == int(mask.sum())

    for step in range(60):
        batch = batches[int(torch.randint(6, (1,), generator=generator))]
        noise = torch.randint(-8, 9, (8,), generator=generator) / 8
        batch = batch._replace(images=batch.images + noise)
        gradient(model, batch, linear_loss, correction)
        record = correction.records["weight"][batch.index]
        assert torch.equal(record.double(), batch.images[mask])
        check()
        if step % 7 == 6:
            before = correction.records["weight"].clone()
            old = mask.clone()
            mask.copy_(torch.randperm(8, generator=generator) < 4)
            correction.on_topology_update({"weight": mask})
            check()
            after = correction.records["weight"]
            full = torch.zeros(6, 8, dtype=after.dtype)
            full[:, old] = before
            assert torch.equal(after, (full * mask)[:, mask])  # what is grown starts at zero
    assert sorted(correction.seen) == list(range(6))


def test_gradients_of_a_convolution_are_recorded_at_its_active_weights() -> None:
    model = convolutions().to(memory_format=torch.channels_last)
    sparse = Static(model, sparsity=0.7)
    correction = RecordedAGC(model)
    correction.attach(sparse)
    pixels, labels = images()
    batch = Batch(pixels.to(memory_format=torch.channels_last), labels, index=0)

    def loss(network: nn.Module, b: Batch) -> Tensor:
        return image_loss(network, (b.images, b.labels))

    correction.begin_epoch([batch], loss)
    gradient(model, batch, loss, correction)
    for name, mask in sparse.masks.items():
        raw = dict(model.named_parameters())[name].grad[mask]
        assert torch.equal(correction.records[name][0], raw.half())


def test_records_survive_a_file_within_an_epoch() -> None:
    batches = slopes()
    model, correction, _ = recorded()
    correction.begin_epoch(batches, linear_loss)
    for batch in [*batches, *batches[:2]]:
        gradient(model, batch, linear_loss, correction)
    _, other, _ = recorded()
    other.load_state_dict(through_a_file(correction.state_dict()))
    other.model.load_state_dict(model.state_dict())
    other.begin_epoch(batches, linear_loss)  # must not clear them
    for batch in batches[2:]:
        expected = gradient(model, batch, linear_loss, correction)
        assert torch.equal(gradient(other.model, batch, linear_loss, other), expected)


def test_what_cannot_be_recorded_is_refused() -> None:
    batches = slopes(count=6, size=8)
    model, correction, _ = recorded(limit=4e-8)  # 6 gradients of 4 active weights: 48 bytes
    with pytest.raises(UserError, match=r"6 gradients of 4 active weights take .* more than limit"):
        correction.begin_epoch(batches, linear_loss)
    model, correction, _ = recorded(limit=5e-8)
    correction.begin_epoch(batches, linear_loss)
    with pytest.raises(UserError, match="needs batches with an index: fixed batches"):
        gradient(model, batches[0]._replace(index=-1), linear_loss, correction)


def test_a_scale_of_zero_changes_no_bit_in_double_precision() -> None:
    model, batches = smooth_network(), partition()
    correction = RecordedAGC(model, gamma=0.0)
    named = [Batch(*batch, index=index) for index, batch in enumerate(batches)]

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        return mean_loss(network, (batch.images, batch.labels))

    correction.begin_epoch(named, loss)
    for batch in named * 2:
        raw = gradient(model, batch, loss)
        assert torch.equal(gradient(model, batch, loss, correction), raw)


def test_a_gradient_beyond_half_precision_does_not_spoil_the_mean() -> None:
    batches = slopes(count=2)
    model, correction, mask = recorded()
    correction.begin_epoch(batches, linear_loss)
    spike = batches[0]._replace(images=batches[0].images * 1e9)
    for batch in (spike, batches[1], batches[0], batches[1]):
        found = gradient(model, batch, linear_loss, correction)
        assert torch.isfinite(found).all()
    expected = full_mean(batches, mask).float()
    torch.testing.assert_close(correction.mean["weight"], expected, rtol=0, atol=2e-2)
