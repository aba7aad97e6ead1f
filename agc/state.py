"""What an object keeps in a checkpoint, said once, by the names of its attributes."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

from agc.lazy import torch


class Stateful:
    """Saves and restores the attributes that :attr:`state` names, of its class and all bases.

    An attribute that has a state of its own keeps it; all else must be tensors, numbers and plain
    containers of them, as nothing more is read from a checkpoint.
    """

    state: ClassVar[tuple[str, ...]] = ()
    """Attributes that a resumed run needs, beside those of the base classes."""

    @classmethod
    def state_names(cls) -> list[str]:
        """The attributes of the whole family, the base's first."""
        return [name for kind in reversed(cls.__mro__) for name in vars(kind).get("state", ())]

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs; tensors are the object's own, not copies."""
        return {name: _saved(getattr(self, name)) for name in self.state_names()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave, as a copy; entries of other names are left.

        Tensors of the same names and shapes are filled where they lie, since others may hold them
        too (a correction holds the masks of its method).

        Raises:
            KeyError: an attribute is missing.
        """
        for name in self.state_names():
            setattr(self, name, _restored(getattr(self, name), state[name]))


def _saved(value: Any) -> Any:
    return value.state_dict() if hasattr(value, "state_dict") else value


def _restored(present: Any, saved: Any) -> Any:
    """``present`` with the content of ``saved`` if it can hold it, else a copy of ``saved``."""
    if hasattr(present, "load_state_dict"):
        present.load_state_dict(copy.deepcopy(saved))  # optimizers keep the tensors that they get
        return present
    if isinstance(present, dict) and isinstance(saved, dict) and present.keys() == saved.keys():
        present.update({key: _restored(present[key], value) for key, value in saved.items()})
        return present
    if torch.is_tensor(present) and torch.is_tensor(saved) and _alike(present, saved):
        with torch.no_grad():
            return present.copy_(saved)
    return copy.deepcopy(saved)


def _alike(one: Any, other: Any) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype
