"""The device that this lane asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from agc.machine.device import Machine


@pytest.fixture(scope="session")
def card() -> Machine:
    """A CUDA device, set up as ``agc train`` does; the test is skipped where there is none."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device: `make test-gpu` on a machine that has one")
    from agc.machine.device import prepare_machine

    return prepare_machine("cuda", threads=1)


@pytest.fixture(autouse=True)
def on_a_card(card: Machine) -> Iterator[None]:
    """Each test of the lane runs there; a mode that it has set ends with it."""
    yield
    torch.cuda.set_sync_debug_mode("default")
