"""Pruning before training: what methods share that rank the weights once, at the start."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc.lazy import torch
from agc.methods.base import Distribution, SparseMethod
from agc.sparsity.ranking import best_masks

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.gradients.gradient import LossFunction


class RankedMethod(SparseMethod):
    """Every weight is active until :meth:`begin`, which keeps those with the best scores.

    With ``iterations`` above 1 the density falls in as many steps, each by the same factor, and
    scores are taken anew at the weights that are left (FORCE, arXiv 2006.09081, equation 8;
    SynFlow, arXiv 2006.05467). A subclass gives :meth:`scores`. The masks never change after that.

    Args:
        distribution: see :class:`~agc.methods.base.SparseMethod`; the sources rank all weights
            together, ``global``; here each layer keeps at least its best one.
        iterations: 1 is single-shot.
    """

    revives: bool = False
    """Whether an iteration may bring back, with its value, what an earlier one has pruned."""

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        distribution: Distribution = "global",
        iterations: Annotated[int, Field(ge=1)] = 1,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, distribution=distribution, **options)
        self.iterations = iterations
        self.dense: dict[str, Tensor] = {}
        """The weights before any was pruned, while they are ranked."""

    def initial_masks(self, counts: dict[str, int]) -> dict[str, Tensor]:
        """All ones."""
        return {n: torch.ones_like(p, dtype=torch.bool) for n, p in self.parameters.items()}

    def begin(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Rank the weights and prune, as often as ``iterations`` says.

        Raises:
            FloatingPointError: a score is NaN.
        """
        self.dense = {name: p.detach().clone() for name, p in self.parameters.items()}
        for iteration in range(1, self.iterations + 1):
            scores = self.scores(batches, loss_fn)
            if not self.revives:
                scores = {n: torch.where(self.masks[n], s, -torch.inf) for n, s in scores.items()}
            sparsity = 1 - (1 - self.sparsity_wanted) ** (iteration / self.iterations)
            last = iteration == self.iterations
            reached = 1.0 if last else sparsity / (self.sparsity_wanted or 1.0)
            masks = best_masks(scores, self.sparsity_wanted, self.distribution, reached)
            with torch.no_grad():
                for name, parameter in self.parameters.items():
                    parameter.copy_(self.dense[name])
            self.set_masks(masks)
        self.dense = {}
        self.explored = {name: mask.clone() for name, mask in self.masks.items()}

    def scores(self, batches: Iterable[Any], loss_fn: LossFunction) -> dict[str, Tensor]:
        """Score of each prunable weight at the present weights; high ones are kept."""
        raise NotImplementedError
