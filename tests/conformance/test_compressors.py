"""What holds for every compressor."""

from __future__ import annotations

import pytest

from agc.conformance.compressors import CHECKS
from agc.registry import COMPRESSORS
from tests.support.conformance import hold


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", COMPRESSORS.names())
def test_compressor(name: str, check: str) -> None:
    hold(CHECKS[check], name)
