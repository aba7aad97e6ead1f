"""What a gradient correction is: it edits ``.grad`` between ``backward`` and ``optimizer.step``.

It is neither an optimizer nor a loss. It never touches the model's buffers, modes or weights, nor
any random stream: with a coefficient of 0 a run has the same bits as one without correction.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from agc.methods.base import SparseMethod

    LossFunction = Callable[[Module, Any], Tensor]
    """``(model, batch) -> mean loss of the batch``, differentiable."""


@dataclass(frozen=True)
class Cost:
    """What a correction adds to a plain epoch.

    Attributes:
        step: units per batch within the steps (forward 1, backward 2).
        snapshot: units per batch of passes of its own over the data.
        prepared_pass: how many such passes need prepared (adversarial) batches.
        tensors: parameter-sized tensors that it keeps.
    """

    step: float = 0.0
    snapshot: float = 0.0
    prepared_pass: float = 0.0
    tensors: float = 0.0


class Correction:
    """Changes nothing; base of those that do.

    A step calls, in this order: ``before_forward`` (may move the weights to where the gradient is
    to be evaluated), forward and backward, ``correct`` (moves them back, edits the gradients), the
    optimizer, the sparse method, ``after_step``.

    Args:
        model: any module; its parameters that require a gradient are corrected.
    """

    pass_images: ClassVar[Literal["prepared", "clean", "raw"]] = "prepared"
    """What ``begin_epoch`` wants: batches as the objective prepares them, before the attack, or
    before augmentation too."""

    fixed_batches: ClassVar[bool] = False
    """Whether the same images must share a batch in every epoch (``Batch.index`` names it)."""

    def __init__(self, model: Module) -> None:
        self.model = model
        self.parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """Why this correction makes no sense in ``cell``, or None; asked before anything runs."""
        return None

    def attach(self, sparse: SparseMethod) -> None:
        """Know the sparse method, and so its masks; called once, before the training."""

    def begin_epoch(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Get ready for an epoch: each iteration of ``batches`` is a pass over the data."""

    def before_forward(self, batch: Any, loss_fn: LossFunction) -> None:
        """Move the weights to where the gradient of this batch is to be evaluated."""

    def correct(self, batch: Any, loss_fn: LossFunction) -> None:
        """Edit the gradients, which are those of ``loss_fn(model, batch)``, in place."""

    def after_step(self) -> None:
        """The optimizer and the sparse method have made their step."""

    def on_topology_update(self, masks: dict[str, Tensor]) -> None:
        """The sparse method has changed its masks."""

    def diagnostics(self) -> dict[str, float]:
        """Numbers for the epoch's log, by name."""
        return {}

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """Declared cost with these options; the tests count and compare."""
        return Cost()

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""


class ReferencePoint:
    """A copy of a model at older weights, where losses and gradients can be asked for.

    The copy has buffers of its own, so that batch statistics gathered at the older weights never
    reach the model that is trained.
    """

    def __init__(self, model: Module) -> None:
        self.module = copy.deepcopy(model)
        self.module.zero_grad(set_to_none=True)
        self.parameters = {n: p for n, p in self.module.named_parameters() if p.requires_grad}

    def move_to(self, model: Module) -> None:
        """Take over the present weights, buffers and modes of ``model``."""
        with torch.no_grad():
            here = {**dict(model.named_parameters()), **dict(model.named_buffers())}
            there = {**dict(self.module.named_parameters()), **dict(self.module.named_buffers())}
            for name, tensor in there.items():
                tensor.copy_(here[name])
        for mine, theirs in zip(self.module.modules(), model.modules(), strict=True):
            mine.training = theirs.training

    def loss(self, batch: Any, loss_fn: LossFunction) -> Tensor:
        """Loss of a batch at the older weights, without a graph."""
        with torch.no_grad():
            return loss_fn(self.module, batch)

    def gradient(self, batch: Any, loss_fn: LossFunction) -> dict[str, Tensor]:
        """Gradient of a batch's loss at the older weights, by parameter name."""
        return gradient_of(loss_fn(self.module, batch), self.parameters)


@contextmanager
def preserved_buffers(model: Module) -> Iterator[None]:
    """Pass batches through ``model``, and leave its buffers (running statistics) as they were."""
    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(kept[name])


def gradient_of(loss: Tensor, parameters: dict[str, Any]) -> dict[str, Tensor]:
    """Gradient of ``loss`` by parameter name, zero where it does not reach; ``.grad`` is left."""
    gradients = torch.autograd.grad(loss, list(parameters.values()), materialize_grads=True)
    return dict(zip(parameters, gradients, strict=True))
