"""Gradients in torch's sparse layout, of embeddings of which a batch looks up few rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from agc.errors import UserError
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter


def refuse_sparse_layers(model: Module, weights: Iterable[Parameter], what: str) -> None:
    """Make sure that none of these weights is an embedding's that asks for sparse gradients.

    Raises:
        UserError: one is.
    """
    meant = {id(weight) for weight in weights if weight.requires_grad}
    kinds = (torch.nn.Embedding, torch.nn.EmbeddingBag)
    for name, module in model.named_modules():
        if isinstance(module, kinds) and module.sparse and id(module.weight) in meant:
            raise UserError(
                f"{what}: layer {name!r} gives sparse gradients, and dense ones are needed: make "
                f"it with sparse=False"
            )


def refuse_sparse_gradients(gradients: Mapping[str, Tensor], what: str) -> None:
    """Make sure that all of these gradients are dense; it waits for no device.

    Raises:
        UserError: one is not.
    """
    for name, gradient in gradients.items():
        if gradient.layout is not torch.strided:
            raise UserError(
                f"{what}: the gradient of {name!r} is sparse ({gradient.layout}), and dense ones "
                "are needed: make the layer with sparse=False, or have its backward pass return a "
                "dense tensor"
            )
