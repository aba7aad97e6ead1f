"""Equilibrium networks: classifiers of the fixed point of a cell (arXiv 1909.01377)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from agc.architectures.shared.fixed_point import require_torchdeq, solve
from agc.architectures.shared.head import LinearHead

LIMIT = 0.95
"""Norm that a cell has at most: each call brings two states closer by 5 % or more."""


class Cell(nn.Module):
    """f of z = f(z, what the images inject): a contraction in z; base of the cells.

    Its parameters are those of one linear map of the state alone, and nothing follows it that could
    move two states apart.
    """

    def forward(self, state: Tensor, injected: Any) -> Tensor:
        """The next state; both states are [N, D]."""
        raise NotImplementedError

    def norm(self) -> Tensor:
        """Norm of the linear map, or a bound of it, a scalar."""
        raise NotImplementedError

    @torch.no_grad()
    def contract(self, limit: float) -> None:
        """Bring the norm back to ``limit``, if it is above, by a common factor."""
        factor = (limit / self.norm()).clamp(max=1)
        for weight in self.parameters():
            weight.mul_(factor)


class Equilibrium(LinearHead):
    """Injects images into a cell, takes the state at which the cell stays, and classifies it.

    The cell is called a fixed number of times, so that what a pass costs is known. As it is a
    contraction there is one fixed point, and each call comes closer to it. Masks and optimizers
    move the cell's weights; :meth:`keep_contraction` brings their norm back below the limit, by a
    common factor, so that zeros stay zeros.

    A subclass makes ``cell`` and ``fc``, and gives :meth:`inject`, :meth:`units` and
    :meth:`features`.

    Args:
        num_classes: number of classes.
        calls: calls of the cell in a forward pass, and vector-Jacobian products in a backward pass.
        limit: largest norm of the cell.

    Raises:
        UserError: torchdeq is not installed.
        ValueError: fewer than 2 calls, or a limit that is not between 0 and 1.
    """

    cell: Cell

    def __init__(self, num_classes: int, calls: int, limit: float = LIMIT) -> None:
        super().__init__()
        require_torchdeq()
        if calls < 2:
            raise ValueError(f"calls = {calls}: a fixed point takes 2 calls of the cell at least")
        if not 0 < limit < 1:
            raise ValueError(f"limit = {limit:g}: a contraction's norm is between 0 and 1")
        self.num_classes = num_classes
        self.calls = calls
        self.limit = limit

    def inject(self, x: Tensor) -> Any:
        """What images [N, in_chans, H, W] add to the state in each call."""
        raise NotImplementedError

    def units(self, x: Tensor) -> int:
        """Size D of an image's state."""
        raise NotImplementedError

    def features(self, state: Tensor, x: Tensor) -> Tensor:
        """What the classifier sees of a state, [N, num_features]."""
        raise NotImplementedError

    def rest(self, x: Tensor) -> Tensor:
        """The state that all begins with: zeros [N, D]."""
        return x.new_zeros(len(x), self.units(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Images to the fixed point [N, D]."""
        return solve(self.cell, self.rest(x), self.inject(x), self.calls)

    def forward(self, x: Tensor, state: Tensor | None = None) -> Any:
        """Images [N, in_chans, H, W] to logits [N, num_classes] at the fixed point.

        With a ``state`` [N, D] it is one call of the cell from there, and what the classifier makes
        of that state: (next state, logits). So whoever watches the network sees these calls too.
        """
        if state is None:
            return self.fc(self.features(self.forward_features(x), x))
        return self.cell(state, self.inject(x)), self.fc(self.features(state, x))

    def keep_contraction(self) -> None:
        """Bring the cell's norm back to the limit, if it is above."""
        self.cell.contract(self.limit)


def equilibrium_of(model: nn.Module) -> Equilibrium | None:
    """The equilibrium network in a model, itself or within wrappers; None if there is none."""
    return next((m for m in model.modules() if isinstance(m, Equilibrium)), None)
