"""Whether two states, however nested, hold the same bits."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch


def leaves(state: Any) -> Iterator[Any]:
    """All that is nested in a state, in order."""
    if isinstance(state, dict):
        for key in state:
            yield from leaves(state[key])
    elif isinstance(state, list | tuple):
        for one in state:
            yield from leaves(one)
    else:
        yield state.detach().clone() if torch.is_tensor(state) else copy.deepcopy(state)


def assert_same(one: Any, other: Any) -> None:
    for mine, theirs in zip(leaves(one), leaves(other), strict=True):
        equal = torch.equal(mine, theirs) if torch.is_tensor(mine) else mine == theirs
        assert equal, (mine, theirs)
