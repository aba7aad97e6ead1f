"""Whether two states, however nested, hold the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


def same_state(one: Any, other: Any) -> bool:
    """Whether containers, numbers and the bits of tensors agree."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_state(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same_state, one, other))
    if torch.is_tensor(one) and torch.is_tensor(other):
        return torch.equal(one, other)
    return one == other


def leaves(state: Any) -> Iterator[Any]:
    """All that is nested in a state and holds nothing else, in order."""
    if isinstance(state, dict | list | tuple):
        for one in state.values() if isinstance(state, dict) else state:
            yield from leaves(one)
    else:
        yield state
