"""SynFlow: pruning that conserves the synaptic flow, without data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc import rng
from agc.errors import UserError
from agc.gradients.modes import evaluating
from agc.lazy import torch
from agc.methods.shared.ranked import RankedMethod
from agc.methods.shared.structured import (
    Call,
    described,
    first_call,
    mapped,
    outputs_read,
    tensors,
)
from agc.registry import METHODS

if TYPE_CHECKING:
    from torch import Tensor
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
    data set. Of several inputs each is of ones, and of several outputs those are summed that the
    loss is computed from; for token ids the source has no rule. Here R is computed in double
    precision on copies, so the model itself is not touched. No weight is grown during training,
    and no gradient of the objective is read.
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
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        """Arguments of the model, of ones."""
        self.outputs: list[str] = []
        """Names of the outputs that are summed; of a tensor it is empty."""

    def begin(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Look at the call of the model for the first batch, then rank and prune.

        Raises:
            FloatingPointError: the flow overflows.
            UserError: an input is no floating-point tensor, or the loss is read from no output.
        """
        with rng.preserved(batches):
            batch = next(iter(batches))
            call = first_call(self.model, batch, loss_fn, "synflow")
            self.args, self.kwargs = self._ones(call)
            self.outputs = self._outputs(call, batch, loss_fn)
        super().begin(batches, loss_fn)

    def scores(self, batches: Iterable[Any], loss_fn: LossFunction) -> dict[str, Tensor]:
        """Share of the flow that goes through each weight."""
        kinds = (self.model.named_parameters(), self.model.named_buffers())
        state = {name: _magnitude(tensor) for kind in kinds for name, tensor in kind}
        weights = {name: state[name].requires_grad_() for name in self.parameters}
        with evaluating(self.model), torch.enable_grad():
            output = torch.func.functional_call(self.model, state, self.args, self.kwargs)
            found = tensors(output)
            flow = sum(found[name].sum() for name in self.outputs)
        if not torch.isfinite(flow):
            raise FloatingPointError("the synaptic flow overflows")
        shares = torch.autograd.grad(flow, list(weights.values()), allow_unused=True)
        return {
            name: torch.zeros_like(weight) if gradient is None else weight.detach() * gradient
            for (name, weight), gradient in zip(weights.items(), shares, strict=True)
        }

    def _ones(self, call: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a call, with ones for one sample in the place of each tensor.

        One image is such that the network sees ones that knows how its images are normalised.
        """
        given = tensors((call.args, call.kwargs))
        names = {name: name.partition(".")[2] for name in given}
        others = {names[n]: t for n, t in given.items() if not t.is_floating_point()}
        if others or not given:
            what = described(others) if others else "no tensor"
            raise UserError(
                f"synflow needs an input of ones, and this network gets {what}: its source has no "
                "rule for inputs that are not floating-point numbers. snip and magnitude-init work"
            )
        if len(given) > 1 and len({t.shape[:1] for t in given.values()}) > 1:
            listed = described({names[n]: t for n, t in given.items()})
            raise UserError(
                f"synflow needs one sample of ones, and the inputs differ in the number of "
                f"samples, their first dimension: {listed}. snip and magnitude-init work"
            )
        blank = getattr(self.model, "blank", None) if len(given) == 1 else None

        def ones(name: str, tensor: Tensor) -> Tensor:
            shape = (1, *tensor.shape[1:])
            if blank is not None:
                return blank(shape)
            device = next(self.model.parameters()).device
            return torch.ones(shape, dtype=torch.float64, device=device)

        return mapped((call.args, call.kwargs), ones)

    def _outputs(self, call: Call, batch: Any, loss_fn: LossFunction) -> list[str]:
        """Names of the outputs whose sum is the flow: those that the loss is computed from."""
        found = tensors(call.output)
        if [*found] == [""]:
            read, sizes = [""], found
        else:
            read, sizes = outputs_read(self.model, batch, loss_fn), found
        if not read or any(not sizes[name].ndim for name in read):
            kind = type(call.output).__name__
            raise UserError(
                f"synflow needs the outputs that the loss is computed from, and finds "
                f"{described({n: sizes[n] for n in read}) or 'none'} in the {kind} that this "
                "network gives: compute the loss from its logits in the loss function. "
                "snip and magnitude-init work"
            )
        return read


def _magnitude(tensor: Tensor) -> Tensor:
    """A copy without signs, in double precision; integers stay as they are."""
    copy = tensor.detach().clone()
    return copy.double().abs() if copy.is_floating_point() else copy
