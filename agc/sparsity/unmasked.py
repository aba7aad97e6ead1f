"""What the first masks zeroed, until the training begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter
    from torch.optim import Optimizer


@dataclass
class Kept:
    """A tensor that is about to be masked.

    Attributes:
        tensor: itself, a weight or a tensor of the optimizer's.
        name: of the weight.
        slot: the optimizer's name for it; None for the weight.
        before: a copy.
        version: how often it had been written to when it had been masked.
    """

    tensor: Tensor
    name: str
    slot: Any
    before: Tensor
    version: int = -1

    def untouched(self) -> bool:
        """Whether nobody has written to it since it was masked, by any way.

        Writes to ``.data`` are not counted, so the values are looked at too.
        """
        if _version(self.tensor) != self.version:
            return False
        return bool(((self.tensor == self.before) | (self.tensor == 0)).all())


class Unmasked:
    """Weights, and optimizer tensors of their shape, as they were before the first masks.

    A method masks the network that it is made for, at once, and a state that is loaded later
    brings other masks. A network that was loaded before the method was made gets back what the
    first masks took; one that was loaded since is right as it is.

    Args:
        parameters: the weights, by name.
        masks: what will be applied to them; a weight whose mask is all ones is not copied.
        optimizer: whose tensors will be masked too, or None.
    """

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        masks: Mapping[str, Tensor],
        optimizer: Optimizer | None,
    ) -> None:
        self.parameters = parameters
        self.optimizer = optimizer
        self.kept: list[Kept] = []
        for name, mask in masks.items():
            if mask.all():
                continue
            parameter = parameters[name]
            self._keep(name, None, parameter)
            for slot, tensor in self._slots(name).items():
                if torch.is_tensor(tensor) and tensor.shape == parameter.shape:
                    self._keep(name, slot, tensor)

    def _keep(self, name: str, slot: Any, tensor: Tensor) -> None:
        self.kept.append(Kept(tensor, name, slot, tensor.detach().clone()))

    def _slots(self, name: str) -> Mapping[Any, Any]:
        """The optimizer's state of a weight."""
        return self.optimizer.state.get(self.parameters[name], {}) if self.optimizer else {}

    def masked(self) -> None:
        """All of it has been masked now; what is written from here on is someone else's."""
        for one in self.kept:
            one.version = _version(one.tensor)

    def put_back(self) -> list[Kept]:
        """Undo the masking where nobody has written since; what has been put back, which is to be
        masked anew.
        """
        found = []
        for one in self.kept:
            held = one.slot is None or self._slots(one.name).get(one.slot) is one.tensor
            if held and one.untouched():
                found.append(one)
        with torch.no_grad():
            for one in found:
                one.tensor.copy_(one.before)
        return found


def _version(tensor: Tensor) -> int:
    """How often a tensor has been written to in place; inference tensors do not count."""
    return -1 if tensor.is_inference() else tensor._version
