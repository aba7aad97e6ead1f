"""The drop-and-grow update that every sparse-to-sparse method shares.

It replaces weights of one layer and, as a rule, keeps their number: ``count`` active weights with
the lowest drop scores go, the ``count`` best candidates by grow score come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.lazy import torch
from agc.sparsity.masks import top_mask
from agc.sparsity.nan import refuse_nan

if TYPE_CHECKING:
    from torch import Tensor


def drop_and_grow(
    mask: Tensor,
    drop_scores: Tensor,
    grow_scores: Tensor,
    count: int,
    regrow: bool = True,
    grow: int | None = None,
    active: int | None = None,
) -> Tensor:
    """New mask of the same shape, with the same number of active weights unless ``grow`` is given.

    Args:
        mask: boolean, the current mask.
        drop_scores: low scores are dropped first (weight magnitude); read where ``mask`` is set.
        grow_scores: high scores are grown first; read where no weight is kept.
        count: how many to replace; cut to the active ones. The sources bound it by nothing else: a
            nearly dense layer drops more weights than it has vacant places, and takes some back.
        regrow: whether a weight just dropped may come back at once. RigL's and ITOP's official
            code let it, and it then keeps its value and its momentum. If not, the count is cut to
            the vacant places, too.
        grow: how many to grow, if not as many as are dropped; cut to the room that there is.
        active: number of active weights, if it is known: to count them makes the host wait for the
            device.

    Of equal scores the first in memory order wins, on every device.

    Raises:
        FloatingPointError: a score that is read is NaN.
    """
    active = int(mask.sum()) if active is None else active
    kept_count, grown_count = numbers(active, mask.numel(), count, regrow, grow)
    if kept_count == active and grown_count == 0:
        return mask.clone()
    kept = top_mask(_only(drop_scores, mask), kept_count)
    candidates = ~kept if regrow else ~mask
    return kept | top_mask(_only(grow_scores, candidates), grown_count)


def numbers(
    active: int, size: int, count: int, regrow: bool = True, grow: int | None = None
) -> tuple[int, int]:
    """How many weights of a layer :func:`drop_and_grow` keeps, and how many it grows.

    Args:
        active: number of active weights.
        size: number of weights.
        count: as there, like the others.
        regrow: the same.
        grow: the same.
    """
    count = min(count, active)
    if grow is None:
        grow = count = count if regrow else min(count, size - active)
    if count <= 0 and grow <= 0:
        return active, 0
    room = size - (active - count if regrow else active)
    return active - count, min(grow, room)


def grown(mask: Tensor, scores: Tensor, count: int) -> Tensor:
    """The mask with ``count`` more weights, those of the highest scores; no score is NaN."""
    return mask | top_mask(torch.where(mask, -torch.inf, scores), count)


def _only(scores: Tensor, where: Tensor) -> Tensor:
    refuse_nan(scores, where)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    # A score of minus infinity is still better than none: the count is kept.
    scores = scores.clamp(min=torch.finfo(scores.dtype).min)
    return torch.where(where, scores, -torch.inf)
