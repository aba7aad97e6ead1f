"""Lazy layers that have not seen a batch: there is no weight yet to mask, copy or correct."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.errors import UserError
from agc.lazy import torch

if TYPE_CHECKING:
    from torch.nn import Module


def refuse_uninitialized(model: Module, what: str) -> None:
    """Make sure that every weight and buffer of ``model`` has its shape and its values.

    A copy of a lazy layer would draw other weights than the layer itself.

    Args:
        model: any module.
        what: who needs the weights, for the message.

    Raises:
        UserError: a lazy layer has none yet.
    """
    lazy = torch.nn.parameter.UninitializedTensorMixin
    for prefix, module in model.named_modules():
        tensors = (*module.parameters(recurse=False), *module.buffers(recurse=False))
        if any(isinstance(tensor, lazy) for tensor in tensors):
            layer = f"layer {prefix!r}" if prefix else "the model"
            raise UserError(
                f"{what}: {layer} ({type(module).__name__}) has no weights yet, as it takes its "
                "shape from its input: run one batch through the model first"
            )
