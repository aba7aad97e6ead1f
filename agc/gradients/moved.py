"""Weights that are elsewhere for a while."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agc.gradients.lists import add_to, clones, copy_to
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def moved(parameters: Mapping[str, Tensor], shift: Mapping[str, Tensor]) -> Iterator[None]:
    """Move each weight that is known by ``shift``; afterwards it is back, bit by bit."""
    names = [name for name in shift if name in parameters]
    weights = [parameters[name] for name in names]
    home = clones(weights)
    try:
        with torch.no_grad():
            add_to(weights, [shift[name] for name in names])
        # An autocast around the whole step would go on with casts of the weights before.
        torch.clear_autocast_cache()
        yield
    finally:
        copy_to(weights, home)
        torch.clear_autocast_cache()
