"""Telling that memory is used up: each allocator says so in its own way."""

from __future__ import annotations

import torch

SAYINGS = ("not enough memory", "can't allocate memory", "bad_alloc", "out of memory")
"""Of torch's allocator on the CPU, of C++, and of CUDA libraries that torch calls."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the memory of the machine or of the device did not suffice."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(saying in str(error) for saying in SAYINGS)


def first_line(error: BaseException) -> str:
    """What an error says first, or its kind if it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)
