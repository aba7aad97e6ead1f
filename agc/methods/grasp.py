"""GraSP: pruning that preserves the gradient flow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc.errors import UserError
from agc.gradients.gradient import loss_and_gradient
from agc.gradients.micro_batches import parts
from agc.gradients.sparse_layout import refuse_sparse_gradients
from agc.lazy import torch
from agc.methods.shared.sampled import SampledMethod
from agc.methods.shared.structured import mapped, not_called, read_by
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
        temperature: divides the network's outputs while weights are scored, each of them where
            there are several. A loss that the network computes itself cannot be scored so.
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
        """Product of each weight and the entry of H g.

        Raises:
            UserError: the temperature does not reach the loss, or there is no second derivative.
        """
        tempered = Tempered(loss_fn, self.temperature)
        handle = self.model.register_forward_hook(tempered.hook)
        try:
            with twice_differentiable(self.model):
                return self._scores(sample, tempered)
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
            second = _second(along, weights)
            for name, part in zip(product, second, strict=True):
                if part is not None:
                    product[name] += part / len(batches)
        product = self.replicas.mean(product)
        return {name: p.detach() * product[name] for name, p in self.parameters.items()}


class Tempered:
    """A loss function for a model whose outputs are divided, by :meth:`hook`.

    Outputs may be one tensor or many; those that are no floating-point numbers stay.

    Args:
        loss_fn: the objective's own.
        temperature: divides the outputs.
    """

    def __init__(self, loss_fn: LossFunction, temperature: float) -> None:
        self.loss_fn = loss_fn
        self.temperature = temperature
        self.outputs: dict[str, Tensor] = {}
        """Of the model's last call, divided."""
        self.known = False
        """Whether it has been seen that the loss is computed from them."""

    def hook(self, module: Module, inputs: Any, output: Any) -> Any:
        """The outputs, divided."""
        self.outputs = {}
        return mapped(output, self._divided)

    def _divided(self, name: str, tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        self.outputs[name] = tensor / self.temperature
        return self.outputs[name]

    def __call__(self, model: Module, batch: Any) -> Tensor:
        """Loss of the divided outputs.

        Raises:
            UserError: it is not computed from them, or the network has computed it.
        """
        self.outputs = {}
        loss = self.loss_fn(model, batch)
        if not self.known:
            self._look(loss)
        self.outputs = {}  # they hold the graph
        return loss

    def _look(self, loss: Tensor) -> None:
        self.known = True
        one_tensor = [*self.outputs] == [""] and self.outputs[""].ndim > 0
        if self.temperature == 1 or one_tensor:
            return
        read = read_by(loss, self.outputs)
        if not read:
            raise not_called("grasp")
        whole = [name for name in read if not self.outputs[name].ndim]
        if whole:
            raise UserError(
                f"grasp divides the logits by its temperature, and this network computes the loss "
                f"itself ({whole[0] or 'its output'} is one number): compute the loss from the "
                "logits in the loss function, or set temperature = 1"
            )


@contextmanager
def twice_differentiable(model: Module) -> Iterator[None]:
    """Within the block, attention and recurrent layers have a second derivative.

    Flash and memory-efficient attention have none, nor have cuDNN's recurrent layers.
    """
    recurrent = any(isinstance(module, torch.nn.RNNBase) for module in model.modules())
    attention, cudnn = torch.nn.attention, torch.backends.cudnn
    with (
        attention.sdpa_kernel(attention.SDPBackend.MATH),
        cudnn.flags(enabled=False) if recurrent else nullcontext(),
    ):
        yield


def _second(along: Tensor, weights: list[Any]) -> tuple[Tensor | None, ...]:
    """Gradient of a gradient's product with a vector.

    Raises:
        UserError: a layer has none.
    """
    if _is_cut(along):
        raise _no_second_derivative("a function of it can be differentiated once")
    try:
        return torch.autograd.grad(along, weights, allow_unused=True)
    except (RuntimeError, NotImplementedError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise _no_second_derivative(reason) from error


def _no_second_derivative(reason: str) -> UserError:
    return UserError(
        f"grasp needs second derivatives, and this network has none ({reason}); snip needs first "
        "derivatives alone"
    )


def _is_cut(tensor: Tensor) -> bool:
    """Whether a function that is marked ``once_differentiable`` took part in it: autograd leaves
    out what lies behind it in silence, where it is not asked for the gradient of all leaves.
    """
    seen, waiting = set(), [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if node.name() == "torch::autograd::Error":
            return True
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]
    return False
