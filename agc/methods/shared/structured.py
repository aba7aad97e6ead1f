"""Inputs and outputs of networks that are more than one tensor: tuples, mappings, dataclasses."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from agc import rng
from agc.errors import UserError
from agc.gradients.gradient import preserved_buffers
from agc.gradients.micro_batches import parts
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from agc.gradients.gradient import LossFunction


@dataclass(frozen=True)
class Call:
    """How the loss function calls the model, and what it gets.

    Attributes:
        args: positional arguments.
        kwargs: the others.
        output: whatever the model gives.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any


def first_call(model: Module, batch: Any, loss_fn: LossFunction, who: str) -> Call:
    """The first call of the model for a batch; buffers and random streams come back.

    Raises:
        UserError: the loss function does not call the model as a whole.
    """
    calls: list[Call] = []
    handle = model.register_forward_hook(
        lambda _, args, kwargs, output: calls.append(Call(args, kwargs, output)), with_kwargs=True
    )
    try:
        with rng.preserved(), preserved_buffers(model), torch.no_grad():
            loss_fn(model, parts(batch)[0])
    finally:
        handle.remove()
    if not calls:
        raise not_called(who)
    return calls[0]


def not_called(who: str) -> UserError:
    """Error for a loss function that asks parts of the model, which hooks on it never see."""
    return UserError(f"{who}: the loss function must call the model as a whole, model(...)")


def mapped(value: Any, change: Callable[[str, Tensor], Any], name: str = "") -> Any:
    """A copy of a structure with ``change(name, tensor)`` in the place of each tensor.

    Tuples, lists, mappings and dataclasses are entered, what is both (``ModelOutput`` of
    transformers) too; all else stays as it is. A name is the path to a tensor, as in
    ``logits`` or ``hidden.0``; it is empty where ``value`` is a tensor itself.
    """
    if torch.is_tensor(value):
        return change(name, value)
    if isinstance(value, MutableMapping):
        other = copy.copy(value)
        for key, part in value.items():
            other[key] = mapped(part, change, _below(name, key))
        return other
    if is_dataclass(value) and not isinstance(value, type):
        other = copy.copy(value)
        for field in fields(value):
            part = mapped(getattr(value, field.name), change, _below(name, field.name))
            object.__setattr__(other, field.name, part)
        return other
    if isinstance(value, tuple | list):
        named = getattr(value, "_fields", range(len(value)))
        content = [
            mapped(part, change, _below(name, key)) for key, part in zip(named, value, strict=True)
        ]
        return type(value)(*content) if hasattr(value, "_fields") else type(value)(content)
    return value


def tensors(value: Any) -> dict[str, Tensor]:
    """The tensors of a structure by name."""
    found: dict[str, Tensor] = {}
    mapped(value, lambda name, tensor: found.setdefault(name, tensor))
    return found


def read_by(loss: Tensor, outputs: Mapping[str, Tensor]) -> list[str]:
    """Names of those outputs that the loss was computed from; its graph stays.

    An output that another one was computed from does not count for that: give copies, as
    :func:`mapped` makes them, to the loss function.
    """
    names = [name for name, tensor in outputs.items() if tensor.requires_grad]
    if not names or not loss.requires_grad:
        return []
    found = torch.autograd.grad(
        loss, [outputs[name] for name in names], retain_graph=True, allow_unused=True
    )
    return [name for name, gradient in zip(names, found, strict=True) if gradient is not None]


def outputs_read(model: Module, batch: Any, loss_fn: LossFunction) -> list[str]:
    """Names of those outputs of the model that the loss of a batch is computed from.

    Buffers and random streams come back.
    """
    outputs: dict[str, Tensor] = {}

    def copied(name: str, tensor: Tensor) -> Tensor:
        outputs[name] = tensor.clone()
        return outputs[name]

    handle = model.register_forward_hook(lambda _, inputs, output: mapped(output, copied))
    try:
        with rng.preserved(), preserved_buffers(model), torch.enable_grad():
            return read_by(loss_fn(model, parts(batch)[0]), outputs)
    finally:
        handle.remove()


def described(values: Mapping[str, Tensor]) -> str:
    """Tensors in words: names, kinds and shapes."""
    return ", ".join(
        f"{name or 'input'} ({str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)})"
        for name, tensor in values.items()
    )


def _below(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)
