"""The same dropout mask at two points."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from agc import rng
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

LONGEST = 1024
"""Forward passes of one step that are remembered."""


class Streams(NamedTuple):
    """States of torch's global generators."""

    cpu: Tensor
    devices: list[Tensor]


class NoiseReplay:
    """Lets a network with dropout draw the same noise again at another point.

    The states of torch's global generators are noted before each forward pass of the model in
    training, and put back before the passes of its copies within :meth:`replayed`. Only what the
    network itself draws is replayed: randomness of the loss function's own belongs in the batch.
    """

    def __init__(self, model: Module) -> None:
        self.notes: deque[Streams] = deque(maxlen=LONGEST)
        self.calls = 1
        """Forward passes that the loss function makes for one batch."""
        self.pending: deque[Streams] | None = None
        self.replays = 0
        model.register_forward_pre_hook(self._before_forward)

    def __deepcopy__(self, memo: dict[int, Any]) -> NoiseReplay:
        """Copies of the model share the notes."""
        return self

    def _before_forward(self, module: Module, args: tuple[Any, ...]) -> None:
        if self.pending is not None:
            self.replays += 1
            if self.pending:
                _restore(self.pending.popleft())
        elif module.training and torch.is_grad_enabled():
            states = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
            self.notes.append(Streams(torch.get_rng_state(), states))

    @contextmanager
    def preserved(self) -> Iterator[None]:
        """Draw what comes next, and leave both the streams and the notes as they were."""
        kept = list(self.notes)
        with rng.preserved():
            try:
                yield
            finally:
                self.notes.clear()
                self.notes.extend(kept)

    @contextmanager
    def replayed(self, batches: int = 1) -> Iterator[None]:
        """Draw as in the last forward passes, those of ``batches`` losses; the global streams
        come back as they were, and the notes are used up.
        """
        self.pending = deque(list(self.notes)[-self.calls * batches :])
        self.replays = 0
        with rng.preserved():
            try:
                yield
            finally:
                self.calls = max(1, self.replays // batches)
                self.pending = None
                self.notes.clear()


def _restore(streams: Streams) -> None:
    torch.set_rng_state(streams.cpu)
    if streams.devices:
        torch.cuda.set_rng_state_all(streams.devices)
