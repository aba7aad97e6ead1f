"""An accelerator that needs none: the CPU computes, behind tensors whose device is ``sim:0``.

What a GPU would do and a CPU does not is seen here, with real values and the CPU's bits: operations
on tensors of two devices raise, generators know their device, and each wait of the host for the
device is noted with the line that asked. There is no autocast for such a device, and operations are
those of the CPU. It stands on torch's private backend in Python, which newer versions have.
"""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = "sim:0"
SETUP = "_setup_privateuseone_for_python_backend"

WAITS = {
    *("_local_scalar_dense", "nonzero", "equal", "masked_select", "is_nonzero", "_unique2"),
    *("unique_dim", "unique_consecutive", "repeat_interleave", "bincount"),
}
"""Operations whose result, or its size, the host must know before it goes on."""

INDEXED = {"index", "_unsafe_index", "index_put", "index_put_", "_index_put_impl_"}

VIEWS = {
    *("_reshape_alias", "_unsafe_view", "alias", "as_strided", "chunk", "detach", "diagonal"),
    *("expand", "lift_fresh", "movedim", "permute", "reshape", "select", "slice", "split"),
    *("split_with_sizes", "squeeze", "t", "transpose", "unbind", "unfold", "unsqueeze", "view"),
    *("view_as", "view_as_real", "empty", "empty_like", "empty_strided", "new_empty"),
}
"""What launches no kernel."""


class DeviceMismatch(RuntimeError):
    """Tensors or generators of two devices met."""


@dataclass
class Log:
    """What the device was asked for since it was cleared.

    Attributes:
        waits: how often each line of ``agc`` made the host wait, by operation.
        operations: kernels by operation; those of lists are counted as CUDA cuts them.
    """

    waits: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)

    def clear(self) -> None:
        """Forget it."""
        self.waits.clear()
        self.operations.clear()


LOG = Log()


class Generator(torch.Generator):
    """Draws the CPU's numbers for the device that it was made for."""

    def __new__(cls, device: Any = "cpu") -> Generator:
        kind = torch.device(device).type
        self = super().__new__(cls, device="cpu" if kind == "sim" else device)
        self.kind = kind
        return self

    def __init__(self, device: Any = "cpu") -> None:
        pass


class SimTensor(torch.Tensor):
    """A tensor of the device; ``inner`` is the CPU's."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> SimTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=torch.device(DEVICE),
        )
        made.inner = inner
        return made

    def __repr__(self) -> str:
        return f"SimTensor({self.inner!r})"

    @property
    def data(self) -> SimTensor:
        return self.detach()

    @data.setter
    def data(self, value: SimTensor) -> None:
        torch.Tensor.data.__set__(self, value)
        self.inner = value.inner

    def tolist(self) -> Any:
        _wait("tolist")
        return self.inner.tolist()

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("can't convert sim:0 device type tensor to numpy; use Tensor.cpu() first")

    def data_ptr(self) -> int:
        return self.inner.data_ptr()

    def __deepcopy__(self, memo: dict[int, Any]) -> torch.Tensor:
        if id(self) not in memo:
            with torch.no_grad():
                new = self.detach().clone()
            new.requires_grad_(self.requires_grad)
            if getattr(self, "_is_param", False):
                new._is_param = True
            memo[id(self)] = new
        return memo[id(self)]

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _run(func, args, kwargs or {})


class Factories(TorchDispatchMode):
    """Sees what makes tensors of the device from none."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _run(func, args, kwargs or {})


class Draws(TorchFunctionMode):
    """Sees the generator's own object, which is gone further down."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        generator = kwargs.get("generator")
        if isinstance(generator, Generator):
            tensors = [one for one in args if isinstance(one, torch.Tensor)]
            device = kwargs.get("device") or (tensors[0].device if tensors else "cpu")
            if torch.device(device).type != generator.kind:
                raise DeviceMismatch(f"{func.__name__}: a generator of {generator.kind}: {device}")
        return func(*args, **kwargs)


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Let the CPU do it, if all of it is on one device."""
    name = func._schema.name.split("::")[-1]
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    ours = [x for x in tensors if isinstance(x, SimTensor)]
    asked = kwargs.get("device")
    here = bool(ours) if asked is None else torch.device(asked).type == "sim"
    if name == "_to_copy":
        if bool(ours) is not here:
            _wait(name)
    elif name == "copy_":
        here = isinstance(args[0], SimTensor)
        if here is not isinstance(args[1], SimTensor):
            _wait(name)
    elif ours or here:
        known = kwargs.get("output_size") is not None
        others = [x for x in tensors if not isinstance(x, SimTensor)]
        _one_device(name, args, others, known)
    if here and name not in VIEWS:
        _count(name, args)
    wrappers = {id(x.inner): x for x in ours}
    args, kwargs = tree_map(_inner, args), tree_map(_inner, kwargs)
    kwargs |= {"pin_memory": False} if kwargs.get("pin_memory") else {}
    with _disable_current_modes():
        found = func(*args, **kwargs)
    return tree_map(lambda x: _outer(x, wrappers), found) if here else found


def _one_device(name: str, args: Any, others: list[torch.Tensor], known: bool) -> None:
    """Note where the host waits; numbers, and indices to the device, may be the CPU's.

    Args:
        name: of the operation.
        args: of it.
        others: tensors that are the CPU's.
        known: whether the size of the result is given.

    Raises:
        DeviceMismatch: a tensor is on the CPU.
    """
    if name in INDEXED:
        for index in args[1]:
            if index is not None and index.dtype in (torch.bool, torch.uint8):
                filled = name != "index" and name.endswith("_") and args[2].numel() == 1
                if not filled:
                    _wait(f"{name} by a mask")
            if index is not None and not isinstance(index, SimTensor):
                _wait(f"{name} by the CPU's index")
        others = [args[0]] if not isinstance(args[0], SimTensor) else []
    elif name in WAITS and not known:
        _wait(name)
    if wrong := [tuple(x.shape) for x in others if x.dim()]:
        raise DeviceMismatch(f"{name}: tensors of the CPU, of shapes {wrong}")


def _inner(value: Any) -> Any:
    if isinstance(value, SimTensor):
        return value.inner
    if isinstance(value, torch.device) and value.type == "sim":
        return torch.device("cpu")
    return value


def _outer(value: Any, wrappers: dict[int, SimTensor]) -> Any:
    if not isinstance(value, torch.Tensor) or isinstance(value, SimTensor):
        return value
    return wrappers[id(value)] if id(value) in wrappers else SimTensor(value)


def _wait(operation: str) -> None:
    LOG.waits[f"{operation} at {_place()}"] += 1


def _place() -> str:
    """The line of ``agc`` that asks."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename.replace("\\", "/")
        if "/agc/" in path and "/tests/" not in path:
            return f"agc/{path.rpartition('/agc/')[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"


CHUNK, BLOCKS = 65_536, 320
TENSORS = {1: 110, 2: 64, 3: 48, 4: 36}
"""What one kernel of a list takes, by how many lists there are (MultiTensorApply.cuh)."""


def _count(name: str, args: Any) -> None:
    if not name.startswith("_foreach"):
        LOG.operations[name] += 1
        return
    lists = [x for x in args if isinstance(x, list | tuple) and isinstance(x[0], torch.Tensor)]
    if not _alike(lists):
        LOG.operations[f"{name} one by one"] += len(lists[0])
        return
    depth = len(lists) + (0 if name.endswith("_") or name.endswith("norm") else 1)
    kernels, tensors, blocks = 1, 0, 0
    for tensor in lists[0]:
        chunks = -(-tensor.numel() // CHUNK)
        if tensors == TENSORS[depth]:
            kernels, tensors, blocks = kernels + 1, 0, 0
        tensors += 1
        kernels += (blocks + chunks) // BLOCKS
        blocks = (blocks + chunks) % BLOCKS
    LOG.operations[name] += kernels + (name == "_foreach_norm")


def _alike(lists: list[list[torch.Tensor]]) -> bool:
    """Whether CUDA takes such lists together: one type, dense, and the same strides."""
    kinds = {tensor.dtype for tensors in lists for tensor in tensors}
    return len(kinds) == 1 and all(
        _dense(group[0]) and len({(t.shape, t.stride()) for t in group}) == 1
        for group in zip(*lists, strict=True)
    )


def _dense(tensor: torch.Tensor) -> bool:
    """Whether the tensor fills its memory, in whatever order of its dimensions."""
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True


class Backend(backend_registration._DummyBackendModule):
    """What torch asks a device's module; autocast is asked for by name, and is off."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


@cache
def set_up() -> None:
    """Let torch know the device; before the process's first backward pass."""
    getattr(backend_registration, SETUP)("sim", Backend())


@contextmanager
def simulated_device() -> Iterator[Log]:
    """Have the device within the block; its log is empty at first."""
    set_up()
    from agc import lazy
    from agc.processes import team
    from agc.training import build, loop

    class SimDraws(Generator):
        share = team.Draws.share

    LOG.clear()
    with pytest.MonkeyPatch.context() as patched, Factories(), Draws():
        for module in (torch, lazy.torch):
            patched.setattr(module, "Generator", Generator)
        patched.setattr(loop, "Draws", SimDraws)
        # It follows storages, which wrappers have none of, and asks about the network alone.
        patched.setattr(build, "refuse_vanishing", lambda *args: None)
        for module in ("sgd", "adam", "adamw", "optimizer"):
            chosen = importlib.import_module(f"torch.optim.{module}")
            if hasattr(chosen, "_default_to_fused_or_foreach"):
                patched.setattr(chosen, "_default_to_fused_or_foreach", _lists)
        patched.setattr(torch.nn.utils.clip_grad, "_has_foreach_support", lambda *args: True)
        yield LOG


def _lists(parameters: Any, differentiable: bool, use_fused: bool = False) -> tuple[bool, bool]:
    """Optimizers take lists of tensors on an accelerator."""
    return False, all(parameter.device.type == "sim" for parameter in parameters)
