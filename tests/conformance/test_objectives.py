"""What holds for every objective."""

from __future__ import annotations

import pytest

from agc.conformance.objectives import CHECKS
from agc.registry import OBJECTIVES
from tests.support.conformance import hold


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_objective(name: str, check: str) -> None:
    hold(CHECKS[check], name)
