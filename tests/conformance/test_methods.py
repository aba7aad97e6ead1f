"""What holds for every sparse-training method, and that the checks of it can fail."""

from __future__ import annotations

import pytest

from agc.conformance.methods import CHECKS
from agc.registry import METHODS


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", METHODS.names())
def test_method(name: str, check: str) -> None:
    CHECKS[check](name)
