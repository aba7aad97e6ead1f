"""Anderson's acceleration of fixed-point iterations, sample by sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

RIDGE = 1e-8
"""Added to the normal equations, relative to their trace."""


class Anderson:
    """Mixes the last iterations so that their changes cancel, of type II with mixing 1.

    With weights alpha of sum 1 that minimise \\|sum_i alpha_i (F(v_i) - v_i)\\|, the next point is
    sum_i alpha_i F(v_i) (Walker and Ni, SIAM J. Numer. Anal. 49, 2011, section 2).

    Args:
        history: how many iterations; 1 leaves F(v) as it is.
    """

    def __init__(self, history: int) -> None:
        self.history = history
        self.changes: list[Tensor] = []
        self.images: list[Tensor] = []

    def mixed(self, now: tuple[Tensor, ...], then: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The next point.

        Args:
            now: the parts of v, [N, ...] each.
            then: those of F(v).
        """
        if self.history == 1:
            return then
        image = torch.cat([part.flatten(1) for part in then], dim=1)
        point = torch.cat([part.flatten(1) for part in now], dim=1)
        self.changes = [*self.changes, image - point][-self.history :]
        self.images = [*self.images, image][-self.history :]
        mixture = (self._weights()[:, :, None] * torch.stack(self.images, dim=1)).sum(dim=1)
        sizes = [part[0].numel() for part in then]
        parts = zip(mixture.split(sizes, dim=1), then, strict=True)
        return tuple(flat.reshape(part.shape) for flat, part in parts)

    def _weights(self) -> Tensor:
        """alpha of each sample, [N, iterations]."""
        changes = torch.stack(self.changes, dim=1)
        normal = changes @ changes.mT
        trace = normal.diagonal(dim1=1, dim2=2).sum(dim=1)
        ridge = (RIDGE * trace).clamp(min=1e-30)[:, None, None] * torch.eye(
            normal.shape[1], dtype=normal.dtype, device=normal.device
        )
        ones = torch.ones_like(normal[:, :, :1])
        found, _ = torch.linalg.solve_ex(normal + ridge, ones)
        return (found / found.sum(dim=1, keepdim=True))[:, :, 0]
