"""The same dropout mask at two points."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agc import rng
from agc.lazy import torch

if TYPE_CHECKING:
    from torch.nn import Module

LONGEST = 1024
"""Forward passes of one step that are remembered."""


class NoiseReplay:
    """Lets a network with dropout draw the same noise again at another point.

    The states of the global generators (torch's, Python's and NumPy's) are noted before each
    forward pass of the model in training, and put back before the passes of its copies within
    :meth:`replayed`. Only what the network itself draws is replayed: randomness of the loss
    function's own belongs in the batch.
    """

    def __init__(self, model: Module) -> None:
        self.notes: deque[rng.Streams] = deque(maxlen=LONGEST)
        self.calls = 1
        """Forward passes that the loss function makes for one batch."""
        self.pending: deque[rng.Streams] | None = None
        self.replays = 0
        model.register_forward_pre_hook(self._before_forward)

    def __deepcopy__(self, memo: dict[int, Any]) -> NoiseReplay:
        """Copies of the model share the notes."""
        return self

    def _before_forward(self, module: Module, args: tuple[Any, ...]) -> None:
        if self.pending is not None:
            self.replays += 1
            if self.pending:
                rng.restore(self.pending.popleft())
        elif module.training and torch.is_grad_enabled():
            self.notes.append(rng.streams())

    @contextmanager
    def preserved(self, batches: Iterable[Any] | None = None) -> Iterator[None]:
        """Draw what comes next, and leave both the streams and the notes as they were; those of
        ``batches`` too (:func:`agc.rng.preserved`).
        """
        kept = list(self.notes)
        with rng.preserved(batches):
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
