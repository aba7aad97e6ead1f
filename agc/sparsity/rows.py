"""Masks with a structure: so many weights in each row, where a row is what a neuron reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def top_of_rows(scores: Tensor, count: int | Tensor) -> Tensor:
    """Boolean mask of the ``count`` largest scores along the last dimension; of equal ones, the
    first.

    Args:
        scores: [..., n].
        count: of all rows, or one for each, [..., 1].

    Raises:
        FloatingPointError: a score is NaN.
    """
    if torch.isnan(scores).any():
        raise FloatingPointError("a mask update met NaN scores")
    order = torch.argsort(scores, dim=-1, descending=True, stable=True)
    return torch.argsort(order, dim=-1) < count
