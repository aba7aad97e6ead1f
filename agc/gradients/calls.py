"""Calls of a model, noticed without a hook on it.

A hook would be saved and copied with the model, traced when it is compiled, and be in the way of
``torch.jit.script``. torch has a place on a module that its ``__call__`` looks at, that stays
outside of what ``Module.compile`` compiles, and that no pickle and no copy takes along.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from agc.lazy import torch

if TYPE_CHECKING:
    from torch.nn import Module

PLACE = "_compiled_call_impl"

Before = Callable[["Module", tuple[Any, ...]], None]
After = Callable[["Module", tuple[Any, ...], Any], None]


class Watch:
    """Calls ``before`` and ``after`` around each call of a model, until it is closed or the object
    whose methods they are is gone.

    Calls that a compiler traces are left alone: of a compiled model, watch what ``torch.compile``
    returned.

    Args:
        models: what is called; a call of ``forward`` alone is not noticed.
        before: a method that takes the module and its positional arguments.
        after: a method that takes the output too.
    """

    def __init__(
        self, models: Iterable[Module], before: Before | None = None, after: After | None = None
    ) -> None:
        self._models = [weakref.ref(model) for model in models]
        self._before = None if before is None else weakref.WeakMethod(before)
        self._after = None if after is None else weakref.WeakMethod(after)
        self.renew()
        owner = (before or after).__self__
        weakref.finalize(owner, self.close).atexit = False

    def __reduce__(self) -> tuple[type[Watch], tuple[Any, ...]]:
        """A copy, made with whoever watches, watches the models that were copied with them."""
        methods = (method and method() for method in (self._before, self._after))
        return Watch, (self._alive(), *methods)

    def renew(self) -> None:
        """Watch again where ``Module.compile`` has taken the place since."""
        for model in self._alive():
            present = vars(model).get(PLACE)
            if not hasattr(present, "watches"):
                present = vars(model)[PLACE] = _noticed(model, present)
            if self not in present.watches:
                present.watches.append(self)

    def close(self) -> None:
        """Leave the models as if they had never been watched, for good."""
        models, self._models = self._alive(), []
        for model in models:
            present = vars(model).get(PLACE)
            if self not in getattr(present, "watches", ()):
                continue
            present.watches.remove(self)
            if not present.watches and present.inner is None:
                del vars(model)[PLACE]
            elif not present.watches:
                vars(model)[PLACE] = present.inner

    @property
    def closed(self) -> bool:
        """Whether it notices nothing any more."""
        return not self._models

    def _alive(self) -> list[Module]:
        return [model for ref in self._models if (model := ref()) is not None]

    def before(self, model: Module, args: tuple[Any, ...]) -> None:
        """A call begins."""
        method = self._before and self._before()
        if method:
            method(model, args)

    def after(self, model: Module, args: tuple[Any, ...], output: Any) -> None:
        """A call has ended."""
        method = self._after and self._after()
        if method:
            method(model, args, output)


def _noticed(model: Module, inner: Callable[..., Any] | None) -> Callable[..., Any]:
    """What ``Module.__call__`` is to call instead of ``inner``, or of the module's own."""
    compiling = torch.compiler.is_compiling
    watches: list[Watch] = []
    # It holds the model, and the model it, as long as somebody watches: no longer.
    call = model._call_impl if inner is None else inner

    def noticed(*args: Any, **kwargs: Any) -> Any:
        if compiling():
            return call(*args, **kwargs)
        for watch in tuple(watches):
            watch.before(model, args)
        output = call(*args, **kwargs)
        for watch in tuple(watches):
            watch.after(model, args, output)
        return output

    noticed.inner, noticed.watches = inner, watches
    return noticed
