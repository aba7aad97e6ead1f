"""The same dropout mask at two points."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agc import rng
from agc.gradients.calls import Watch
from agc.lazy import torch

if TYPE_CHECKING:
    from torch.nn import Module

LONGEST = 1024
"""Forward passes of one step that are remembered."""

UNNOTICED = (
    "the network draws random numbers (dropout), and the correction has not noticed the training "
    "pass that it is to draw the same for. Give the correction the model that is called in "
    "training: what torch.compile(model) or a wrapper returned, compiled before the correction is "
    "made. Compile the model and not the loss function around it, and call it, not its forward"
)


class NoiseReplay:
    """Lets a network with dropout draw the same noise again at another point.

    The states of the global generators (torch's, Python's and NumPy's) are noted before each
    forward pass of the model in training, and put back before its passes within :meth:`replayed`.
    Only what the network itself draws is replayed: randomness of the loss function's own belongs in
    the batch. A compiled network draws from the same generators, at each call anew.

    Args:
        models: what is called in training, and in passes beside the step if that is another.
    """

    def __init__(self, *models: Module) -> None:
        self.notes: deque[rng.Streams] = deque(maxlen=LONGEST)
        self.calls = 1
        """Forward passes that the loss function makes for one batch."""
        self.pending: deque[rng.Streams] | None = None
        self.replays = 0
        self.idle = False
        """Whether the network is known to draw nothing, so that there is nothing to replay."""
        self.watch = Watch(models, before=self._before_forward)

    def _before_forward(self, module: Module, args: tuple[Any, ...]) -> None:
        if self.idle:
            return
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

        Raises:
            RuntimeError: noise is drawn, and no forward pass has been noticed whose it could be;
                or nothing is noticed any more.
        """
        if self.watch.closed:
            raise RuntimeError("the correction has been closed; make another one")
        if self.idle:
            yield
            return
        self.pending = deque(list(self.notes)[-self.calls * batches :])
        self.replays = 0
        with rng.preserved():
            before = None if self.pending else rng.streams()
            try:
                yield
                if before is not None and not rng.same(before, rng.streams()):
                    raise RuntimeError(UNNOTICED)
            finally:
                self.calls = max(1, self.replays // batches)
                self.pending = None
                self.notes.clear()
                self.watch.renew()
