"""Random generators derived from (seed, purpose, epoch, step); the global ones are never touched.

So the plain and the corrected run of one seed see the same initial weights, masks, batches,
augmentations and attack starts, and a resumed run needs no stored generator state.
"""

from __future__ import annotations

import hashlib
import random
import types
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor

LONGEST = 64
"""Longer lists are data: no generator is looked for in them."""

MOST = 10_000
"""Objects that are looked at."""


def derive(seed: int, purpose: str, epoch: int = 0, step: int = 0) -> int:
    """A 63-bit seed that depends on all four arguments, the same on every machine."""
    key = f"{seed}/{purpose}/{epoch}/{step}".encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big") >> 1


def generator(
    seed: int, purpose: str, epoch: int = 0, step: int = 0, device: str = "cpu"
) -> Generator:
    """A fresh generator on ``device`` for one purpose at one point of the training."""
    return torch.Generator(device=device).manual_seed(derive(seed, purpose, epoch, step))


class Streams(NamedTuple):
    """States of the global generators of torch, Python and NumPy."""

    cpu: Tensor
    devices: list[Tensor]
    python: Any
    numpy: Any


def streams() -> Streams:
    """The present states of the global generators."""
    import numpy as np

    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    numpy = np.random.get_state(legacy=False)
    return Streams(torch.get_rng_state(), devices, random.getstate(), numpy)


def same(one: Streams, other: Streams) -> bool:
    """Whether nothing has been drawn between the two."""
    pairs = zip([one.cpu, *one.devices], [other.cpu, *other.devices], strict=False)
    numpy = [
        (states.numpy["state"]["pos"], states.numpy["state"]["key"]) for states in (one, other)
    ]
    return (
        all(torch.equal(a, b) for a, b in pairs)
        and one.python == other.python
        and numpy[0][0] == numpy[1][0]
        and bool((numpy[0][1] == numpy[1][1]).all())
    )


def restore(states: Streams) -> None:
    """Put the global generators back to where they were."""
    import numpy as np

    torch.set_rng_state(states.cpu)
    if states.devices:
        torch.cuda.set_rng_state_all(states.devices)
    random.setstate(states.python)
    np.random.set_state(states.numpy)


@contextmanager
def isolated(seed: int, batches: Iterable[Any] | None = None) -> Iterator[None]:
    """Run code that draws from torch's global generators (initialisation, dropout, attack
    libraries) as if they had been seeded with ``seed``, and leave them as they were.

    Of ``batches``, if they are given, torch's own generators are seeded too, and all that
    :func:`preserved` names is left as it was.
    """
    with _torch_preserved() if batches is None else preserved(batches):
        torch.manual_seed(seed)
        for number, own in enumerate(generators(batches)):
            if isinstance(own, torch.Generator):
                own.manual_seed(derive(seed, "batches", step=number))
        yield


@contextmanager
def isolated_everywhere(seed: int) -> Iterator[None]:
    """Like :func:`isolated`, for code of which nobody knows where it draws from, such as the
    construction of a network: Python's and NumPy's global generators are seeded too, and come back.
    """
    import numpy as np

    with preserved():
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        yield


@contextmanager
def preserved(batches: Iterable[Any] | None = None) -> Iterator[None]:
    """Run code that draws random numbers, and leave the global generators of torch, Python and
    NumPy as they were.

    So are those that ``batches`` and its samplers and data set hold. What an iterator or the
    workers of a loader remember otherwise cannot be put back.
    """
    import numpy as np

    kept = [(own, _state(own)) for own in generators(batches)]
    python, numpy = random.getstate(), np.random.get_state(legacy=False)
    try:
        with _torch_preserved():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        for own, state in kept:
            _set_state(own, state)


@contextmanager
def _torch_preserved() -> Iterator[None]:
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        yield


def generators(batches: Any) -> list[Any]:
    """The random generators, of torch, Python or NumPy, that a data loader holds: itself, its
    samplers, its data set and the transforms in it, however they are nested.

    Networks and optimizers that are met on the way are none of its parts.
    """
    if batches is None:
        return []
    import numpy as np

    kinds = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState)
    others = (torch.nn.Module, torch.optim.Optimizer, torch.Tensor, np.ndarray, str, bytes)
    others += (type, types.ModuleType, random.SystemRandom)
    found: list[Any] = []
    seen: dict[int, Any] = {}  # keeps what it has seen, so that no identity is used twice
    queue = deque([batches])
    while queue and len(seen) < MOST:
        one = queue.popleft()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        if isinstance(one, others):
            continue
        if isinstance(one, kinds):
            found.append(one)
        elif isinstance(one, list | tuple | dict):
            if len(one) <= LONGEST:
                queue.extend(one.values() if isinstance(one, dict) else one)
        elif isinstance(one, partial):
            queue.extend([one.func, one.args, one.keywords])
        elif isinstance(one, types.MethodType):
            queue.append(one.__self__)
        else:
            queue.extend(getattr(one, "__dict__", {}).values())
    return found


def _state(own: Any) -> Any:
    if isinstance(own, torch.Generator):
        return own.get_state()
    if isinstance(own, random.Random):
        return own.getstate()
    return own.bit_generator.state if hasattr(own, "bit_generator") else own.get_state()


def _set_state(own: Any, state: Any) -> None:
    if isinstance(own, torch.Generator):
        own.set_state(state)
    elif isinstance(own, random.Random):
        own.setstate(state)
    elif hasattr(own, "bit_generator"):
        own.bit_generator.state = state
    else:
        own.set_state(state)
