"""What the modules of a network hold beside their parameters, noted and put back."""

from __future__ import annotations

from collections.abc import Mapping
from operator import is_
from typing import TYPE_CHECKING, Any, NamedTuple

from agc.gradients.calls import PLACE

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

UNSAVED = "_non_persistent_buffers_set"


class Held(NamedTuple):
    """What one module holds."""

    module: Module
    kind: type[Module]
    attributes: dict[str, Any]
    buffers: dict[str, Tensor | None]
    unsaved: set[str]


class Bindings:
    """The names by which the modules of a network hold buffers and plain attributes.

    Many forward passes assign to them: tables that grow with the input, caches that are registered
    when first needed, counters, features that the loss reads. What a held object has in it is not
    noted.

    Args:
        model: with all modules in it.
    """

    def __init__(self, model: Module) -> None:
        self.all = [
            Held(
                module,
                type(module),
                dict(vars(module)),
                dict(module._buffers.items()),
                set(vars(module).get(UNSAVED, ())),
            )
            for module in model.modules()
        ]

    def restore(self) -> None:
        """Have each name hold the object that it held, and no other names."""
        for held in self.all:
            restore_buffers(held.module, held.buffers, held.unsaved)
            # A lazy module has become what it is to be, and stays that.
            if type(held.module) is held.kind:
                _restore_attributes(held.module, held.attributes)


def restore_buffers(
    module: Module, buffers: dict[str, Tensor | None], unsaved: set[str] | None = None
) -> None:
    """Have a module hold these buffers and no others.

    Args:
        module: one module; those in it are left.
        buffers: by name, in their order.
        unsaved: names of those that a state dict leaves out; as they are now if None.
    """
    now = module._buffers
    if not _same(now, buffers):
        for name in list(now.keys()):
            del now[name]
        for name, buffer in buffers.items():
            now[name] = buffer
    if unsaved is not None and vars(module).get(UNSAVED, unsaved) != unsaved:
        vars(module)[UNSAVED] = set(unsaved)


def _restore_attributes(module: Module, before: dict[str, Any]) -> None:
    now = vars(module)
    if _same(now, before):
        return
    others = {PLACE, UNSAVED, *module._parameters.keys(), *module._modules.keys()}
    for name in [name for name in now if name not in before and name not in others]:
        del now[name]
    for name, value in before.items():
        if name not in others and (name not in now or now[name] is not value):
            now[name] = value


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether these are the same objects under the same names."""
    return list(one.keys()) == list(other.keys()) and all(map(is_, one.values(), other.values()))
