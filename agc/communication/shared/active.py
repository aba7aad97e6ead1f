"""The coordinates that travel: those of weights that are not pruned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agc.lazy import torch
from agc.sparsity.places import active_places

if TYPE_CHECKING:
    from torch import Tensor


class ActiveCoordinates:
    """Takes tensors apart and puts them together again, flat, as long as the masks stay.

    Args:
        masks: by the name of the weight; other tensors travel whole.
    """

    def __init__(self, masks: Mapping[str, Tensor]) -> None:
        self.places = active_places(masks, masks)

    def of(self, name: str, tensor: Tensor) -> Tensor:
        """The active coordinates of a tensor, [n]."""
        flat = tensor.reshape(-1)
        return flat[self.places[name]] if name in self.places else flat

    def back(self, name: str, numbers: Tensor, like: Tensor) -> Tensor:
        """A new tensor of the shape and layout of ``like``, zero where nothing is active."""
        if name in self.places:
            whole = torch.zeros(like.numel(), dtype=numbers.dtype, device=numbers.device)
            numbers = whole.index_copy_(0, self.places[name], numbers)
        return torch.empty_like(like, dtype=numbers.dtype).copy_(numbers.reshape(like.shape))

    def size(self, name: str, tensor: Tensor) -> int:
        """How many coordinates of a tensor are active."""
        return len(self.places[name]) if name in self.places else tensor.numel()
