"""What holds for every gradient correction."""

from __future__ import annotations

import pytest

from agc.conformance.corrections import CHECKS
from agc.registry import CORRECTIONS
from tests.support.conformance import hold


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", CORRECTIONS.names())
def test_correction(name: str, check: str) -> None:
    hold(CHECKS[check], name)
