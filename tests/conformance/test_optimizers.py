"""What holds for every optimizer, and for timm's best known one."""

from __future__ import annotations

import pytest

from agc.conformance.optimizers import CHECKS
from agc.registry import OPTIMIZERS
from tests.support.conformance import hold


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", [*OPTIMIZERS.names(), "adamw"])
def test_optimizer(name: str, check: str) -> None:
    hold(CHECKS[check], name)
