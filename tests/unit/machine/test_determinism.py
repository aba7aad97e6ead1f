"""An operation without a deterministic algorithm is named, with the way out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from agc.errors import UserError
from agc.machine.determinism import determinism_errors


@pytest.fixture
def strict() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)


@pytest.mark.usefixtures("strict")
def test_what_torch_refuses_is_told_in_one_line() -> None:
    numbers, places = torch.zeros(3), torch.tensor([0, 0])
    message = r"^put_ has no deterministic .*; --fast allows it$"
    with pytest.raises(UserError, match=message), determinism_errors():
        numbers.put_(places, torch.ones(2))


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="another"), determinism_errors():
        raise RuntimeError("another one")
