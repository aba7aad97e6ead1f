"""How the tests run the conformance checks, and put broken entries before them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from agc.conformance.checks import Check, DoesNotApply
from agc.registry import Registry


def hold(check: Check, name: str) -> None:
    """Run a check; what does not apply is skipped."""
    try:
        check(name)
    except DoesNotApply as reason:
        pytest.skip(str(reason))


@contextmanager
def registered(registry: Registry, target: Callable[..., Any], **facts: Any) -> Iterator[str]:
    """Have an entry on an axis for a while; its name, which no other entry had before."""
    name = f"broken-{target.__name__}"
    registry.register(name, **facts)(target)
    try:
        yield name
    finally:
        del registry._entries[name]
