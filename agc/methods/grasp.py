"""GraSP: pruning that preserves the gradient flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc.gradients.gradient import loss_and_gradient
from agc.gradients.micro_batches import parts
from agc.gradients.sparse_layout import refuse_sparse_gradients
from agc.lazy import torch
from agc.methods.shared.sampled import SampledMethod
from agc.registry import METHODS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.gradients.gradient import LossFunction


@METHODS.register(
    "grasp",
    family="before training",
    source="arXiv 2002.07376",
    needs="the gradient of one batch and a Hessian product with it at the start",
)
class GraSP(SampledMethod):
    """Keeps the weights whose removal would lessen the gradient's norm most: ``weight * (H g)``.

    The sign is that of the official code (alecwangcq/GraSP), which removes the largest
    ``-weight * (H g)``. Both g and H are of the raw objective, with the network's outputs divided
    by ``temperature``; H g is exact, by a second backward pass. No weight is grown during training.
    The official code draws as many images of each class, and new weights for linear layers while
    it scores; here batches and weights are those of the training.

    Args:
        temperature: divides the network's outputs while weights are scored.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        temperature: Annotated[float, Field(gt=0)] = 200.0,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, **options)
        self.temperature = temperature

    def sample_scores(self, sample: list[Any], loss_fn: LossFunction) -> dict[str, Tensor]:
        """Product of each weight and the entry of H g."""
        handle = self.model.register_forward_hook(lambda *call: call[2] / self.temperature)
        try:
            return self._scores(sample, loss_fn)
        finally:
            handle.remove()

    def _scores(self, sample: list[Any], loss_fn: LossFunction) -> dict[str, Tensor]:
        batches = [part for batch in sample for part in parts(batch)]
        gradients = [loss_and_gradient(self.model, self.parameters, b, loss_fn)[1] for b in batches]
        for gradient in gradients:
            refuse_sparse_gradients(gradient, "GraSP")
        mean = {n: sum(g[n] for g in gradients) / len(batches) for n in self.parameters}
        mean = self.replicas.mean(mean)
        product = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
        weights = list(self.parameters.values())
        for batch in batches:  # one graph at a time
            loss = loss_fn(self.model, batch)
            first = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
            pairs = zip(mean.values(), first, strict=True)
            along = sum((g * f).sum() for g, f in pairs if f is not None)
            second = torch.autograd.grad(along, weights, allow_unused=True)
            for name, part in zip(product, second, strict=True):
                if part is not None:
                    product[name] += part / len(batches)
        product = self.replicas.mean(product)
        return {name: p.detach() * product[name] for name, p in self.parameters.items()}
