"""What holds for every attack."""

from __future__ import annotations

import pytest

from agc.conformance.attacks import CHECKS
from agc.registry import ATTACKS
from tests.support.conformance import hold


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", ATTACKS.names())
def test_attack(name: str, check: str) -> None:
    hold(CHECKS[check], name)
