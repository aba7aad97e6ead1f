"""A complex weight is two real ones: the same network written both ways is corrected alike."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agc import AGC, STORM, rng
from agc.corrections.agc_recorded import RecordedAGC
from agc.corrections.base import Correction
from agc.errors import UserError
from agc.evaluation.diagnostics import relative_distance
from agc.evaluation.gradient_moments import Moments
from agc.gradients.reference import ReferencePoint

Batch = tuple[Tensor, Tensor]


class Complex(nn.Module):
    """|W x|, with W complex or the pair of real numbers that it consists of."""

    def __init__(self, real: bool) -> None:
        super().__init__()
        weight = torch.randn(3, 5, 2, generator=rng.generator(0, "w"), dtype=torch.float64)
        self.weight = nn.Parameter(weight if real else torch.view_as_complex(weight))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight if self.weight.is_complex() else torch.view_as_complex(self.weight)
        return (x @ weight.T).abs()


def loss_fn(model: nn.Module, batch: Batch) -> Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def batches() -> list[Batch]:
    generator = rng.generator(1, "x")
    return [
        (
            torch.randn(8, 5, generator=generator, dtype=torch.complex128),
            torch.randint(3, (8,), generator=generator),
        )
        for _ in range(4)
    ]


def trained(real: bool, kind: type[Correction], options: dict[str, Any]) -> list[Tensor]:
    """Weights after each step, as pairs of real numbers."""
    model, found = Complex(real), []
    correction = kind(model, **options)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    for _ in range(3):
        correction.begin_epoch(batches(), loss_fn)
        for batch in batches():
            optimizer.zero_grad()
            with correction.point(batch, loss_fn):
                loss_fn(model, batch).backward()
            correction.correct(batch, loss_fn)
            optimizer.step()
            weight = model.weight.detach().clone()
            found.append(weight if real else torch.view_as_real(weight))
    return found


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *((AGC, {"estimator": e, "gamma": 1.0}) for e in ("loss", "gradient", "layer", "online")),
        (STORM, {"a": None}),
    ],
)
def test_a_complex_network_is_corrected_as_its_real_twin(
    kind: type[Correction], options: dict[str, Any]
) -> None:
    pairs = zip(trained(False, kind, options), trained(True, kind, options), strict=True)
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_records_in_float16_refuse_complex_weights() -> None:
    with pytest.raises(UserError, match="'weight' is complex"):
        RecordedAGC(Complex(False)).begin_epoch(batches(), loss_fn)


def test_what_is_measured_of_a_complex_network_is_that_of_its_real_twin() -> None:
    found = []
    for real in (False, True):
        model, other = Complex(real), Complex(real)
        mask = torch.rand(3, 5, generator=rng.generator(2, "m")) < 0.6
        masks = {"weight": mask.unsqueeze(-1).expand(3, 5, 2) if real else mask}
        then = {"weight": torch.zeros_like(masks["weight"])}
        with torch.no_grad():
            other.weight.mul_(0.5)
        moments = Moments(dict(model.named_parameters()), masks, then)
        for batch in batches():
            g, q = (
                torch.autograd.grad(loss_fn(one, batch), [one.weight])[0] for one in (model, other)
            )
            moments.add({"weight": g}, {"weight": q})
        shares = moments.shares({"weight": torch.zeros_like(g)})
        distance = relative_distance(model, ReferencePoint(other))
        found.append([*moments.ratios("active", None).values(), *shares.values(), distance])
    assert found[0][1:] == pytest.approx(found[1][1:], rel=1e-12)
