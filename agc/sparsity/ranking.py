"""Masks from scores: the best weights, layer by layer or of the whole network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agc.lazy import torch
from agc.sparsity.distributions import active_counts
from agc.sparsity.masks import top_mask

if TYPE_CHECKING:
    from torch import Tensor


def best_masks(
    scores: Mapping[str, Tensor],
    sparsity: float,
    distribution: str | Mapping[str, float] = "global",
) -> dict[str, Tensor]:
    """Boolean masks of the weights with the highest scores, an exact number in all.

    Of equal scores the first wins, in the order of the layers. Under ``global`` each layer keeps
    its best weight whatever its score, so that none is cut through; a layer that collapses shows
    as one with a single weight.

    Args:
        scores: one tensor for each prunable weight, by name.
        sparsity: fraction of zeros over all these weights, in [0, 1).
        distribution: see :class:`agc.methods.base.SparseMethod`.

    Raises:
        FloatingPointError: a score is NaN.
        InfeasibleSparsityError: a layer would keep no weight.
    """
    for name, score in scores.items():
        if torch.isnan(score).any():
            raise FloatingPointError(f"a score of layer {name!r} is NaN")
    shapes = {name: tuple(score.shape) for name, score in scores.items()}
    counts = active_counts(shapes, sparsity, distribution)
    if distribution != "global":
        return {name: top_mask(score, counts[name]) for name, score in scores.items()}
    best = {name: top_mask(score, 1) for name, score in scores.items()}
    flat = torch.cat([score.reshape(-1).double() for score in scores.values()])
    first = torch.cat([mask.reshape(-1) for mask in best.values()])
    kept = top_mask(torch.where(first, torch.inf, flat), sum(counts.values()))
    parts = kept.split([score.numel() for score in scores.values()])
    return {
        name: part.reshape(score.shape)
        for (name, score), part in zip(scores.items(), parts, strict=True)
    }
