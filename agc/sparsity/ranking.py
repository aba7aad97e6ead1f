"""Masks from scores: the best weights, layer by layer or of the whole network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agc.lazy import torch
from agc.sparsity.distributions import InfeasibleSparsityError, active_counts
from agc.sparsity.masks import top_mask
from agc.sparsity.nan import of_layer, refuse_nan

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter


def best_masks(
    scores: Mapping[str, Tensor],
    sparsity: float,
    distribution: str | Mapping[str, float] = "global",
    reached: float = 1.0,
) -> dict[str, Tensor]:
    """Boolean masks of the weights with the highest scores, an exact number in all.

    Of equal scores the first wins, in the order of the layers. Under ``global`` each layer keeps
    its best weight whatever its score, so that none is cut through; a layer that collapses shows
    as one with a single weight. A score of plus infinity is always kept there.

    Args:
        scores: one tensor for each prunable weight, by name.
        sparsity: fraction of zeros over all these weights, in [0, 1).
        distribution: see :class:`agc.methods.base.SparseMethod`.
        reached: share of the weights that are to be pruned in the end which is pruned now, in
            [0, 1]; of each layer, or of all under ``global``. A larger share never needs a
            weight that a smaller one has pruned, whatever the distribution.

    Raises:
        FloatingPointError: a score is NaN.
        InfeasibleSparsityError: a layer would keep no weight.
    """
    for name, score in scores.items():
        with of_layer(name):
            refuse_nan(score)
    shapes = {name: tuple(score.shape) for name, score in scores.items()}
    counts = active_counts(shapes, sparsity, distribution)
    if distribution != "global":
        return {
            n: top_mask(s, on_the_way(s.numel(), counts[n], reached)) for n, s in scores.items()
        }
    flat = torch.cat([score.reshape(-1).double() for score in scores.values()])
    parts = flat.split([score.numel() for score in scores.values()])
    for part in parts:
        part.index_fill_(0, part.argmax().reshape(1), torch.inf)
    kept = on_the_way(flat.numel(), sum(counts.values()), reached)
    best = top_mask(flat, max(kept, int(torch.isposinf(flat).sum())))
    return {
        name: part.reshape(score.shape)
        for (name, score), part in zip(
            scores.items(), best.split([part.numel() for part in parts]), strict=True
        )
    }


def on_the_way(size: int, active: int, reached: float) -> int:
    """Active weights of ``size`` once the share ``reached`` of what is to be pruned is pruned."""
    return size - round(reached * (size - active))


def largest_weights(
    parameters: Mapping[str, Parameter],
    masks: Mapping[str, Tensor],
    sparsity: float,
    distribution: str | Mapping[str, float],
    reached: float,
) -> dict[str, Tensor]:
    """Masks of the largest of the active weights; frozen layers keep theirs.

    Args:
        parameters: prunable weights, by name.
        masks: their present masks; what these prune stays pruned.
        sparsity: see :func:`best_masks`, as for the other arguments and the errors.
    """
    scores = {
        name: torch.where(
            masks[name], p.detach().abs() if p.requires_grad else torch.inf, -torch.inf
        )
        for name, p in parameters.items()
    }
    best = best_masks(scores, sparsity, distribution, reached)
    return {n: best[n] if p.requires_grad else masks[n] for n, p in parameters.items()}


def refuse_frozen(
    parameters: Mapping[str, Parameter],
    masks: Mapping[str, Tensor],
    sparsity: float,
    distribution: str | Mapping[str, float],
) -> None:
    """Make sure that :func:`largest_weights` can prune enough although frozen layers keep theirs.

    Args:
        parameters: see :func:`largest_weights`, as for the others.
        masks: the same.
        sparsity: the same.
        distribution: the same.

    Raises:
        InfeasibleSparsityError: it cannot. The message names the frozen layers.
    """
    frozen = [name for name, p in parameters.items() if not p.requires_grad]
    if not frozen:
        return
    shapes = {name: tuple(p.shape) for name, p in parameters.items()}
    wanted = sum(active_counts(shapes, sparsity, distribution).values())
    best = largest_weights(parameters, masks, sparsity, distribution, 1.0)
    reached = sum(int(mask.sum()) for mask in best.values())
    if reached > wanted:
        size = sum(p.numel() for p in parameters.values())
        named = ", ".join(map(repr, frozen[:4])) + (", ..." if len(frozen) > 4 else "")
        raise InfeasibleSparsityError(
            f"frozen layers keep their weights here, so the sparsity would end at "
            f"{1 - reached / size:.4g}, and {sparsity:g} was asked for: let {named} train, or "
            f"leave them out of the count with keep_dense=[{named}]"
        )
