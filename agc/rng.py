"""Random generators derived from (seed, purpose, epoch, step); the global ones are never touched.

So the plain and the corrected run of one seed see the same initial weights, masks, batches,
augmentations and attack starts, and a resumed run needs no stored generator state.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Generator


def derive(seed: int, purpose: str, epoch: int = 0, step: int = 0) -> int:
    """A 63-bit seed that depends on all four arguments, the same on every machine."""
    key = f"{seed}/{purpose}/{epoch}/{step}".encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big") >> 1


def generator(
    seed: int, purpose: str, epoch: int = 0, step: int = 0, device: str = "cpu"
) -> Generator:
    """A fresh generator on ``device`` for one purpose at one point of the training."""
    return torch.Generator(device=device).manual_seed(derive(seed, purpose, epoch, step))


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Run code that draws from torch's global generators (initialisation, dropout, attack
    libraries) as if they had been seeded with ``seed``, and leave them as they were.
    """
    with preserved():
        torch.manual_seed(seed)
        yield


@contextmanager
def preserved() -> Iterator[None]:
    """Run code that draws from torch's global generators, and leave them as they were."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        yield


@contextmanager
def isolated_everywhere(seed: int) -> Iterator[None]:
    """Like :func:`isolated`, for code of which nobody knows where it draws from, such as the
    construction of a network: Python's and NumPy's global generators are seeded too, and come back.
    """
    import numpy as np

    python, numpy = random.getstate(), np.random.get_state()
    try:
        with isolated(seed):
            random.seed(seed)
            np.random.seed(seed % 2**32)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
