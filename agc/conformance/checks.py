"""What a check is, and which there are for an axis."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agc.registry import Registry

Check = Callable[[str], None]
"""Takes the name of an entry and asserts; its own name is the sentence that it checks."""


class DoesNotApply(Exception):
    """Raised by a check that has nothing to say about an entry; the message says why."""


@contextmanager
def refused(kind: type[Exception], words: str, otherwise: str) -> Iterator[None]:
    """Within it an error of this kind must be raised whose message has these words; ``otherwise``
    says what went on if none is.
    """
    try:
        yield
    except kind as error:
        message = str(error)
    else:
        raise AssertionError(otherwise)
    assert words in message, f"the error does not say {words!r}: {message}"


def listed(*checks: Check) -> dict[str, Check]:
    """Checks by name."""
    return {check.__name__: check for check in checks}


def checks(registry: Registry, cells: bool = True) -> dict[str, Check]:
    """All checks of an axis, by name.

    Args:
        registry: the axis.
        cells: whether to add those that train whole cells for the entry beside other entries.
    """
    folder = registry.package.rpartition(".")[2]
    module = importlib.import_module(f"agc.conformance.{folder}")
    return {**module.CHECKS, **(getattr(module, "IN_CELLS", {}) if cells else {})}
