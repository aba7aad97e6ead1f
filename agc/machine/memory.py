"""Telling that memory is used up: each allocator says so in its own way."""

from __future__ import annotations

import errno
import resource
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import torch

from agc.errors import UserError

Result = TypeVar("Result")

SAYINGS = (
    *("not enough memory", "can't allocate memory", "bad_alloc", "out of memory"),
    *("STATUS_ALLOC_FAILED", "unable to find an engine to execute this computation"),
)
"""Of torch's allocator on the CPU, of C++, and of CUDA libraries that torch calls: the last one is
cuDNN's, where no plan's workspace fits."""

PROCESS = Path("/proc/self")
"""Where Linux tells of this process."""

UNCLEAR = "could not create a primitive"
"""All that oneDNN says where it gets no memory for its code; of other faults it may say so too."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the memory of the machine or of the device did not suffice."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if str(error) == UNCLEAR:
        return _is_limited()
    return any(saying in str(error) for saying in SAYINGS)


def _is_limited() -> bool:
    """Whether this process may have only so much memory (``ulimit -v``)."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return limit != resource.RLIM_INFINITY


def peak_memory() -> int:
    """Bytes of the machine's memory that this process has held at most, or has since
    :func:`reset_peak_memory`.
    """
    try:
        status = (PROCESS / "status").read_text(encoding="utf-8")
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    except (OSError, ValueError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most


def reset_peak_memory() -> None:
    """Forget what this process held before; where the system has no such call, nothing happens."""
    with suppress(OSError):
        (PROCESS / "clear_refs").write_text("5", encoding="utf-8")


def first_line(error: BaseException) -> str:
    """What an error says first, or its kind if it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def with_smaller_batches(work: Callable[[int], Result], batch: int) -> Result:
    """What ``work`` makes of so many images at a time: half of them each time that memory lacks.

    It begins anew each time, and a warning says so, as rounding may depend on it.
    """
    while True:
        try:
            return work(batch)
        except (MemoryError, RuntimeError) as error:
            if batch == 1 or not is_out_of_memory(error):
                raise
            reason = first_line(error)
        # Not above, where the error holds what has been allocated.
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        batch //= 2
        warnings.warn(f"{reason}: going on with {batch} images at a time", stacklevel=2)


@contextmanager
def memory_errors(note: Callable[[str], None]) -> Iterator[None]:
    """Turn a lack of memory in the block into a :class:`UserError`.

    Args:
        note: told what the allocator said, in one line, to write it down.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        reason = first_line(error)
        with suppress(UserError):  # a disk that is full as well must not hide the reason
            note(reason)
        raise UserError(
            f"out of memory ({reason}); it goes on where there is more, or with fewer processes "
            "beside it"
        ) from error
