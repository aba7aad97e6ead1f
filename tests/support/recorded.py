"""A stand-in for CUDA graphs on the CPU: operations are taped, and played again on the same memory.

As on a device, recording does nothing yet, playing runs no Python of the function, and what would
make the host wait, or draws random numbers, cannot be recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

Result = TypeVar("Result")

FORBIDDEN = {"_local_scalar_dense", "equal", "nonzero", "masked_select"}
"""What waits for values; draws are known by their generator's argument."""

Line = tuple[Any, Any, Any, Any]


class Tape(TorchDispatchMode):
    """Notes each operation, and what memory held that was there before."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []
        self.made: set[int] = set()
        self.before: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.split("::")[-1]
        draws = any(argument.name == "generator" for argument in func._schema.arguments)
        if name in FORBIDDEN or draws:
            raise RuntimeError(f"{name}: operation not permitted when stream is capturing")
        args, kwargs = tree_map(_alias, args), tree_map(_alias, kwargs)
        for tensor in _tensors((args, kwargs)):
            place = _place(tensor)
            if place not in self.made and place not in self.before:
                self.before[place] = (tensor, tensor.clone())
        found = func(*args, **kwargs)
        known = {_place(tensor) for tensor in _tensors((args, kwargs))}
        for tensor in _tensors(found):
            if _place(tensor) not in known:
                self.made.add(_place(tensor))
        self.lines.append((func, args, kwargs, tree_map(_alias, found)))
        return found

    def play(self) -> None:
        """Do it all again, into the memory of the first time."""
        with torch.no_grad(), torch._C._AutoDispatchBelowAutograd():
            for func, args, kwargs, left in self.lines:
                known = {_place(tensor) for tensor in _tensors((args, kwargs))}
                found = func(*args, **kwargs)
                for old, new in zip(_tensors(left), _tensors(found), strict=True):
                    if _place(old) not in known:
                        old.copy_(new)


@dataclass
class TapeRecorder:
    """Keeps account of what was asked for.

    Attributes:
        tapes: those that were recorded.
        marks: moments that were marked.
        besides: moments since which something was to run beside the rest.
    """

    tapes: list[Tape] = field(default_factory=list)
    marks: list[object] = field(default_factory=list)
    besides: list[object] = field(default_factory=list)

    def mark(self) -> object:
        self.marks.append(moment := object())
        return moment

    def usual(self, work: Callable[[], Result]) -> Result:
        return work()

    def record(self, work: Callable[[], Result]) -> tuple[Callable[[], None], Result]:
        try:
            with Tape() as tape:
                result = work()
        finally:
            for tensor, value in tape.before.values():
                tensor.copy_(value)
        self.tapes.append(tape)
        return tape.play, result

    def beside(self, since: object, work: Callable[[], None]) -> None:
        self.besides.append(since)
        work()


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def _alias(value: Any) -> Any:
    """The same memory, whatever the tensor is lent later."""
    return value.detach() if isinstance(value, Tensor) else value


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
