"""Corrections that change where the gradient is taken: the weights move before the forward pass
and come back, bit by bit, after the backward pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agc.corrections.base import Correction
from agc.gradients.lists import clones, norms, scale
from agc.gradients.loss_scale import LossScale
from agc.gradients.moved import moved
from agc.lazy import torch
from agc.sparsity.masks import masked

if TYPE_CHECKING:
    from torch import Tensor

    from agc.gradients.gradient import LossFunction

SMALL = 1e-12


class EvaluationPoint(Correction):
    """Shift by :meth:`direction` for forward and backward pass, and come back.

    The point shifted to keeps pruned weights at zero.
    """

    repeatable = True
    searchable = False

    def direction(self, batch: Any, loss_fn: LossFunction) -> dict[str, Tensor]:
        """By how much to move each tensor; empty for not at all."""
        raise NotImplementedError

    @contextmanager
    def point(self, batch: Any, loss_fn: LossFunction) -> Iterator[None]:
        """Move, and go back; the gradient stays that of the point shifted to."""
        with moved(self.parameters, self.direction(batch, loss_fn)):
            yield

    def masked(self, gradient: dict[str, Tensor]) -> dict[str, Tensor]:
        """Zero at pruned weights."""
        names = [name for name in gradient if name in self.masks]
        active = masked([gradient[n] for n in names], [self.masks[n] for n in names])
        return gradient | dict(zip(names, active, strict=True))

    def to_length(self, gradient: dict[str, Tensor], radius: float) -> dict[str, Tensor]:
        """All tensors together scaled to the Euclidean norm ``radius``, pruned weights left out."""
        active = self.masked(gradient)
        if not active:
            return {}
        tensors = list(active.values())
        factor = radius / (torch.linalg.vector_norm(norms(tensors)) + SMALL)
        return dict(zip(active, scale(tensors, [factor] * len(tensors)), strict=True))


class PastGradient(EvaluationPoint):
    """Shifts along the gradient of the step before, which costs nothing."""

    state = ("before",)
    by_parameter = ("before",)

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.scale = LossScale(*self.replicas.ways)
        self.before: dict[str, Tensor] = {}
        """The last gradient, which is that of the step before when the next one begins."""
        self.along: dict[str, Tensor] = {}
        """That of the step before the present one."""

    @contextmanager
    def point(self, batch: Any, loss_fn: LossFunction) -> Iterator[None]:
        """Shift along the same gradient however often the step asks."""
        if not self.repeated:
            self.along = self.before
        with super().point(batch, loss_fn):
            yield

    def correct(self, batch: Any, loss_fn: LossFunction) -> None:
        """Keep this step's gradient for the next one."""
        present = self.gradients()
        if not self.repeated and not self.scale.overflowed(present.values()):
            self.before = dict(zip(present, clones(present.values()), strict=True))
