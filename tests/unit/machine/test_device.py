from __future__ import annotations

import torch

from agc.machine.device import prepare_machine


def test_a_training_is_deterministic_and_does_not_fill_memory_that_it_is_about_to_write() -> None:
    assert torch.utils.deterministic.fill_uninitialized_memory  # as all tests have it
    prepare_machine("cpu", threads=1)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory
