"""Models whose parameters are spread over processes, which nothing here can mask or correct."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.nn import Module


def refuse_sharded(model: Module) -> None:
    """Make sure that each process has all of every parameter.

    Raises:
        TypeError: the model is FSDP's, or a parameter is a DTensor or a flat one.
    """
    wrappers = _kinds("torch.distributed.fsdp", "FSDPModule", "FullyShardedDataParallel")
    for name, module in model.named_modules():
        if isinstance(module, wrappers):
            where = f"module {name!r} of the model" if name else "the model"
            raise TypeError(f"{where} is sharded by {_sharder(module)}: {ADVICE}")
    spread = _kinds("torch.distributed.tensor", "DTensor")
    flat = _kinds("torch.distributed.fsdp._flat_param", "FlatParameter")
    for name, parameter in model.named_parameters():
        if isinstance(parameter, spread) or isinstance(parameter.data, spread):
            raise TypeError(f"parameter {name!r} is a DTensor, spread over processes: {ADVICE}")
        if isinstance(parameter, flat):
            raise TypeError(f"parameter {name!r} is a flat one, of several layers: {ADVICE}")


ADVICE = (
    "masks and corrections need whole parameters on each process; wrap the model in "
    "DistributedDataParallel"
)


def _kinds(module: str, *names: str) -> tuple[type, ...]:
    """Classes of a module of torch's; without it loaded, there is no instance of them."""
    found: Any = sys.modules.get(module)
    return tuple(getattr(found, name) for name in names if hasattr(found, name))


def _sharder(module: Module) -> str:
    own = type(module).__name__
    return own if own == "FullyShardedDataParallel" else "fully_shard (FSDP2)"
