"""SynFlow: pruning that conserves the synaptic flow, without data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc import rng
from agc.gradients.gradient import preserved_buffers
from agc.gradients.modes import evaluating
from agc.lazy import torch
from agc.methods.shared.ranked import RankedMethod
from agc.registry import METHODS

if TYPE_CHECKING:
    from torch import Size, Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.gradients.gradient import LossFunction


@METHODS.register(
    "synflow",
    family="before training",
    source="arXiv 2006.05467",
    needs="the shape of an image, and a gradient of one image for each iteration",
)
class SynFlow(RankedMethod):
    """Keeps the weights that carry most of the flow R, the summed outputs for an input of ones
    when every parameter and buffer is replaced by its absolute value: ``|weight| * dR/d|weight|``.

    As in ganguli-lab/Synaptic-Flow batch norm is in evaluation mode, and the density falls
    exponentially in 100 iterations. The ones reach the network behind the normalisation of its
    data set. Here R is computed in double precision on copies, so the model itself is not touched.
    No weight is grown during training, and no gradient of the objective is read.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        iterations: Annotated[int, Field(ge=1)] = 100,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, iterations=iterations, **options)
        self.ones: Tensor | None = None

    def begin(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Look at the shape of the first batch, then rank and prune.

        Raises:
            FloatingPointError: the flow overflows.
        """
        with rng.preserved(batches):
            shape = _input_shape(self.model, next(iter(batches)), loss_fn)
        self.ones = self._ones(shape)
        super().begin(batches, loss_fn)

    def scores(self, batches: Iterable[Any], loss_fn: LossFunction) -> dict[str, Tensor]:
        """Share of the flow that goes through each weight."""
        kinds = (self.model.named_parameters(), self.model.named_buffers())
        state = {name: _magnitude(tensor) for kind in kinds for name, tensor in kind}
        weights = {name: state[name].requires_grad_() for name in self.parameters}
        with evaluating(self.model), torch.enable_grad():
            flow = torch.func.functional_call(self.model, state, (self.ones,)).sum()
        if not torch.isfinite(flow):
            raise FloatingPointError("the synaptic flow overflows")
        found = torch.autograd.grad(flow, list(weights.values()), allow_unused=True)
        return {
            name: torch.zeros_like(weight) if gradient is None else weight.detach() * gradient
            for (name, weight), gradient in zip(weights.items(), found, strict=True)
        }

    def _ones(self, shape: Size) -> Tensor:
        """One image of ones, as the network sees it that knows how its images are normalised."""
        if hasattr(self.model, "blank"):
            return self.model.blank((1, *shape[1:]))
        device = next(self.model.parameters()).device
        return torch.ones((1, *shape[1:]), dtype=torch.float64, device=device)


def _magnitude(tensor: Tensor) -> Tensor:
    """A copy without signs, in double precision; integers stay as they are."""
    copy = tensor.detach().clone()
    return copy.double().abs() if copy.is_floating_point() else copy


def _input_shape(model: Module, batch: Any, loss_fn: LossFunction) -> Size:
    """Shape of the first tensor that the loss function gives the model."""
    shapes: list[Size] = []
    handle = model.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape))
    try:
        with rng.preserved(), preserved_buffers(model), torch.no_grad():
            loss_fn(model, batch)
    finally:
        handle.remove()
    return shapes[0]
