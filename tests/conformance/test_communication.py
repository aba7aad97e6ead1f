"""What holds for every communication."""

from __future__ import annotations

import pytest

from agc.conformance.communication import CHECKS
from agc.registry import COMMUNICATION
from tests.support.conformance import hold


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", COMMUNICATION.names())
def test_communication(name: str, check: str) -> None:
    hold(CHECKS[check], name)
