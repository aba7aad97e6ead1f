from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.worker_problems import batches, flat, step_of


def weights(name: str, **options: Any) -> Tensor:
    step, _ = step_of(name, compressor="top-k", two_way=True, **options)
    for batch in batches(12):
        step(batch)
    return flat(step.model.parameters())


@pytest.mark.parametrize(("alpha", "relative"), [(0.0, "ef"), (1.0, "saef")])
def test_at_its_ends_it_is_one_of_its_relatives(alpha: float, relative: str) -> None:
    assert torch.equal(weights("sa-pef", alpha=alpha), weights(relative))


def test_between_them_it_is_neither() -> None:
    half = weights("sa-pef")
    assert not torch.allclose(half, weights("ef"))
    assert not torch.allclose(half, weights("saef"))
    assert torch.equal(half, weights("sa-pef", alpha=0.5))
