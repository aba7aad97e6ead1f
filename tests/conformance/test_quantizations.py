"""What holds for every quantization."""

from __future__ import annotations

import pytest

from agc.conformance.quantization import CHECKS, IN_CELLS
from agc.registry import QUANTIZATIONS
from tests.support.conformance import hold


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", QUANTIZATIONS.names())
def test_quantization(name: str, check: str) -> None:
    hold(CHECKS[check], name)


@pytest.mark.parametrize("check", IN_CELLS)
@pytest.mark.parametrize("name", QUANTIZATIONS.names())
def test_quantization_in_cells(name: str, check: str) -> None:
    hold(IN_CELLS[check], name)
