"""What holds for every architecture, on a small one of each file and on one of timm's."""

from __future__ import annotations

import pytest

from agc.conformance.architectures import CHECKS
from tests.support.conformance import hold

SMALL = ["deq_tiny", "mdeq_small", "lenet5", "mlp_cifar10", "resnet8", "resnet18_cifar"]
SMALL += ["vgg16_bsr", "wrn_16_1", "resnet10t"]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("check", CHECKS)
def test_architecture(name: str, check: str) -> None:
    hold(CHECKS[check], name)
