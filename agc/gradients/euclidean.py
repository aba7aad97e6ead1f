"""Gradients as vectors of real numbers, whatever the weights are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def as_real(tensor: Tensor) -> Tensor:
    """A complex tensor as its real and imaginary parts, [..., 2]; a real one itself.

    Products and squares of these sum to what training moves by, the real part of Σ conj(a) b: a
    complex weight is two real ones.
    """
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
