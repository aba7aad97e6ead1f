"""SNIP: pruning by connection sensitivity, in one shot, iteratively, or as FORCE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.gradients.gradient import loss_and_gradient
from agc.gradients.sparse_layout import refuse_sparse_gradients
from agc.methods.shared.sampled import SampledMethod
from agc.registry import METHODS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.gradients.gradient import LossFunction


@METHODS.register(
    "snip",
    family="before training",
    source="arXiv 1810.02340, 2006.09081",
    needs="the gradient of one batch at the start, for each iteration",
)
class SNIP(SampledMethod):
    """Keeps the weights whose removal would change the loss most: ``|weight * gradient|``.

    The gradient is the raw one of the objective, dense: pruned weights have one too. No weight
    is grown during training. With ``iterations`` above 1 this is Iterative SNIP, and with
    ``revive`` FORCE (naver/force), where pruned weights are scored by their initial value and the
    gradient of the pruned network, and come back with it.

    Args:
        revive: whether an iteration may bring back what an earlier one has pruned.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        revive: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, **options)
        self.revives = revive

    def sample_scores(self, sample: list[Any], loss_fn: LossFunction) -> dict[str, Tensor]:
        """Absolute product of each initial weight and its gradient, summed over the batches."""
        total: dict[str, Tensor] = {}
        for batch in sample:
            _, found = loss_and_gradient(self.model, self.parameters, batch, loss_fn)
            refuse_sparse_gradients(found, "SNIP")
            total = {n: total[n] + g for n, g in found.items()} if total else found
        # What is left has its initial value; scores of the others count in FORCE alone.
        gradient = self.replicas.mean(total)
        return {name: (self.dense[name] * g).abs() for name, g in gradient.items()}
