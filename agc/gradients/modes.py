"""Training and evaluation mode, borrowed for a while and given back module by module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.nn import Module


@contextmanager
def kept_modes(model: Module) -> Iterator[None]:
    """Give every module its own mode back, whatever the block does to it, also if it raises."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Evaluation mode within the block; every module's own comes back."""
    with kept_modes(model):
        model.eval()
        yield
