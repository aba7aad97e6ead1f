"""Weights that are elsewhere for a while."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def moved(parameters: Mapping[str, Tensor], shift: Mapping[str, Tensor]) -> Iterator[None]:
    """Move each weight that is known by ``shift``; afterwards it is back, bit by bit."""
    home = {name: parameters[name].detach().clone() for name in shift if name in parameters}
    try:
        with torch.no_grad():
            for name in home:
                parameters[name].add_(shift[name])
        # An autocast around the whole step would go on with casts of the weights before.
        torch.clear_autocast_cache()
        yield
    finally:
        with torch.no_grad():
            for name, weight in home.items():
                parameters[name].copy_(weight)
        torch.clear_autocast_cache()
