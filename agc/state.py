"""What an object keeps in a checkpoint, said once, by the names of its attributes."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

MADE = "made"
"""Entry of a state that says what it is of."""


class Stateful:
    """Saves and restores the attributes that :attr:`state` names, of its class and all bases.

    An attribute that has a state of its own keeps it; all else must be tensors, numbers and plain
    containers of them, as nothing more is read from a checkpoint.
    """

    state: ClassVar[tuple[str, ...]] = ()
    """Attributes that a resumed run needs, beside those of the base classes."""

    later_state: ClassVar[tuple[str, ...]] = ()
    """Those of :attr:`state` that states of before they were added lack; such a state leaves them
    as they are."""

    made_with: ClassVar[dict[str, str] | None] = None
    """What a state has in common with whoever takes it, beside its class: words for it, and the
    attributes that hold it. None, without any in a base either, asks for nothing, nor for the
    class."""

    by_parameter: ClassVar[tuple[str, ...]] = ()
    """Those of :attr:`state` that hold, by name, a tensor of the shape of a parameter for some of
    the model's."""

    @classmethod
    def state_names(cls) -> list[str]:
        """The attributes of the whole family, the base's first."""
        return [name for found in _inherited(cls, "state") for name in found]

    def named_tensors(self) -> Mapping[str, Tensor]:
        """The model's tensors, for :attr:`by_parameter`."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs, as a copy."""
        state = {name: _saved(getattr(self, name)) for name in self.state_names()}
        made = self._made()
        return state if made is None else {**state, MADE: made}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave, as a copy; entries of other names are left.

        Tensors of the same names and shapes are filled where they lie, since others may hold them
        too (a correction holds the masks of its method). All else goes to the device of the model,
        wherever the state is.

        Raises:
            KeyError: an attribute is missing.
            ValueError: the state is that of something else; nothing has been changed.
        """
        self.check_state(state)
        by_name = {name for found in _inherited(type(self), "by_parameter") for name in found}
        tensors = self.named_tensors()
        device = next((tensor.device for tensor in tensors.values()), None)
        for name in self._wanted(state):
            homes = tensors if name in by_name else {}
            setattr(self, name, _restored(getattr(self, name), state[name], homes, device))

    def check_state(self, state: dict[str, Any]) -> None:
        """Make sure that :meth:`load_state_dict` can take this state.

        Raises:
            KeyError: an attribute is missing.
            ValueError: the state is that of something else.
        """
        for name in self._wanted(state):
            if name not in state:
                raise KeyError(f"the state that {type(self).__name__} is to load has no {name!r}")
        for problem in self.misfits(state):
            raise ValueError(f"{type(self).__name__} cannot load this state: {problem}")

    def misfits(self, state: dict[str, Any]) -> Iterator[str]:
        """In words, what keeps this object from taking a state."""
        yield from _differences(state.get(MADE), self._made())
        by_name = {name for found in _inherited(type(self), "by_parameter") for name in found}
        for name in self._wanted(state):
            if name not in state:
                yield f"it has no {name!r}"
            elif name in by_name:
                yield from unlike(name, state[name], self.named_tensors(), some=True)
            else:
                yield from self.unfit(name, state[name])

    def unfit(self, name: str, saved: Any) -> Iterator[str]:
        """In words, what keeps the attribute ``name`` from taking a value: by default that it is of
        another kind. What is in a dict, and how large a tensor is, may change in a training.
        """
        yield from _unfit(name, getattr(self, name), saved)

    def _wanted(self, state: Mapping[str, Any]) -> list[str]:
        """The attributes that a state is to have: those that came later only if it has them."""
        later = {name for found in _inherited(type(self), "later_state") for name in found}
        return [name for name in self.state_names() if name in state or name not in later]

    def _made(self) -> dict[str, Any] | None:
        """The class, and what else a state must share."""
        found = list(_inherited(type(self), "made_with"))
        if all(one is None for one in found):
            return None
        words = {word: name for one in found if one for word, name in one.items()}
        return {
            "class": type(self).__name__,
            **{word: _plain(getattr(self, name)) for word, name in words.items()},
        }


def unlike(
    name: str, saved: Any, tensors: Mapping[str, Tensor], *, some: bool = False
) -> Iterator[str]:
    """In words, where a saved dict has other names or shapes than ``tensors``.

    Args:
        name: of the attribute that is to take it.
        saved: of a state.
        tensors: what it must be like.
        some: whether some of them may be missing.
    """
    if not isinstance(saved, dict):
        yield f"{name} is {_kind(saved)}, this one's is a dict"
        return
    if not some:
        yield from (f"{name} has no {key!r}" for key in tensors if key not in saved)
    for key, value in saved.items():
        if key not in tensors:
            yield f"{name}[{key!r}] is of nothing that is known here"
        elif tuple(value.shape) != tuple(tensors[key].shape):
            yield (
                f"{name}[{key!r}] has shape {tuple(value.shape)}, this one's is "
                f"{tuple(tensors[key].shape)}"
            )


def _inherited(kind: type, attribute: str) -> Iterator[Any]:
    """What the classes of a family say themselves, the base's first."""
    for base in reversed(kind.__mro__):
        if attribute in vars(base):
            yield vars(base)[attribute]


def _plain(value: Any) -> Any:
    """A number, text or containers of them, as a checkpoint can hold it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, Real):
        return int(value) if isinstance(value, Integral) else float(value)
    return str(value)


def _differences(theirs: dict[str, Any] | None, mine: dict[str, Any] | None) -> Iterator[str]:
    """Between what two states are of; one that does not say may be of anything."""
    if theirs is None or mine is None:
        return
    if theirs.get("class") != mine["class"]:
        yield f"it is a state of {theirs.get('class')}"
        return
    for word, value in mine.items():
        if word in theirs and not _equal(theirs[word], value):
            yield f"a state of {word} {theirs[word]}, this one has {value}"


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9)
    return one == other


def _unfit(path: str, present: Any, saved: Any) -> Iterator[str]:
    if present is None or saved is None:
        return
    if isinstance(present, Stateful) and isinstance(saved, dict):
        yield from (f"{path}: {problem}" for problem in present.misfits(saved))
        return
    one, other = _container(present), _container(saved)
    if one != other:
        yield f"{path} is {_kind(saved)}, this one's is {_kind(present)}"


def _container(value: Any) -> type:
    """What holds others: a dict, as an object's state is too, or a list; else an object."""
    if _keeps_state(value) or isinstance(value, dict):
        return dict
    return list if isinstance(value, list | tuple) else object


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"


def _keeps_state(value: Any) -> bool:
    return hasattr(value, "load_state_dict")


def _saved(value: Any) -> Any:
    if isinstance(value, Stateful):
        return value.state_dict()
    if hasattr(value, "state_dict"):
        return copy.deepcopy(value.state_dict())
    return _copied(value)


def moved(value: Any, device: torch.device | str) -> Any:
    """The same with all tensors on ``device``; those that are there are not copied."""
    if torch.is_tensor(value):
        return value.to(device)
    if type(value) in (dict, OrderedDict):
        return type(value)((key, moved(one, device)) for key, one in value.items())
    if type(value) in (list, tuple):
        return type(value)(moved(one, device) for one in value)
    return value


def _copied(value: Any, device: torch.device | None = None) -> Any:
    """A copy without a graph; a tensor goes to ``device``, or stays where it is."""
    if torch.is_tensor(value):
        value = value.detach()
        return value.clone() if device in (None, value.device) else value.to(device)
    if type(value) in (dict, OrderedDict):
        return type(value)((key, _copied(one, device)) for key, one in value.items())
    if type(value) in (list, tuple):
        return type(value)(_copied(one, device) for one in value)
    return copy.deepcopy(value)


def _restored(
    present: Any,
    saved: Any,
    homes: Mapping[str, Tensor] | None = None,
    device: torch.device | None = None,
) -> Any:
    """``present`` with the content of ``saved`` if it can hold it, else a copy of ``saved``."""
    if _keeps_state(present) and saved is not None:
        # Optimizers keep the very tensors that they are given, and move them as they need them: a
        # number of steps that lay on a GPU would be asked for in each step.
        own = isinstance(present, torch.optim.Optimizer)
        present.load_state_dict(_copied(saved, torch.device("cpu") if own else device))
        return present
    if isinstance(present, dict) and isinstance(saved, dict):
        if present.keys() == saved.keys():
            restored = {k: _restored(present[k], v, None, device) for k, v in saved.items()}
            present.update(restored)
            return present
        places = {key: tensor.device for key, tensor in (homes or {}).items()}
        return {key: _copied(value, places.get(key, device)) for key, value in saved.items()}
    if torch.is_tensor(present) and torch.is_tensor(saved) and _alike(present, saved):
        with torch.no_grad():
            return present.copy_(saved)
    return _copied(saved, device)


def _alike(one: Any, other: Any) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype
