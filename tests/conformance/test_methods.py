"""What holds for every sparse-training method."""

from __future__ import annotations

import pytest

from agc.conformance.methods import CHECKS
from agc.registry import METHODS
from tests.support.conformance import hold


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", METHODS.names())
def test_method(name: str, check: str) -> None:
    hold(CHECKS[check], name)
