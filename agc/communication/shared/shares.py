"""Each worker's share of a batch, and of the batches of a pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from agc import rng
from agc.errors import UserError
from agc.gradients.micro_batches import MicroBatches, parts
from agc.lazy import torch
from agc.processes.share import Share


def shares(batch: Any, workers: int) -> list[Any]:
    """The shares of a batch: worker i has the rows i, i + W and so on of every tensor in it.

    Micro-batches are shared one by one. The first worker draws the noise of the whole batch, the
    others have their own.

    Args:
        batch: tensors, however they are nested in tuples, lists and dicts.
        workers: W; one has the batch itself.

    Raises:
        UserError: the rows are no multiple of W.
    """
    if workers == 1:
        return [batch]
    return [_share(batch, Share(number, workers)) for number in range(workers)]


def _share(batch: Any, share: Share) -> Any:
    if isinstance(batch, MicroBatches):
        return MicroBatches(tuple(_share(part, share) for part in batch), batch.index)
    if torch.is_tensor(batch):
        if batch.dim() and len(batch) % share.count:
            raise UserError(
                f"a batch of {len(batch)} rows cannot be shared evenly by {share.count} workers"
            )
        return share.of(batch) if batch.dim() else batch
    if hasattr(batch, "_fields"):  # a named tuple, such as the suite's own
        own = type(batch)(*(_share(part, share) for part in batch))
        noise = getattr(batch, "noise", None)
        if share.rank and isinstance(noise, int):
            own = own._replace(noise=rng.derive(noise, "worker", step=share.rank))
        return own
    if isinstance(batch, tuple | list):
        return type(batch)(_share(part, share) for part in batch)
    if isinstance(batch, dict):
        return {key: _share(part, share) for key, part in batch.items()}
    return batch


class SharedPass:
    """Batches of a pass, each as the micro-batches that the workers have of it.

    So a mean over the pass is that of all workers, batch norm included.

    Args:
        batches: any iterable; each iteration is a pass.
        workers: in this process.
        begun: called when a pass begins.
    """

    def __init__(self, batches: Iterable[Any], workers: int, begun: Callable[[], None]) -> None:
        self.batches = batches
        self.workers = workers
        self.begun = begun
        if hasattr(batches, "showing"):
            self.showing = self._showing

    def __iter__(self) -> Iterator[Any]:
        self.begun()
        for batch in self.batches:
            if self.workers == 1:
                yield batch
                continue
            own = [shares(part, self.workers) for part in parts(batch)]
            pieces = tuple(piece for each in own for piece in each)
            yield MicroBatches(pieces, getattr(batch, "index", -1))

    def _showing(self, images: str) -> SharedPass:
        """The same passes with another kind of images."""
        return shared_pass(self.batches.showing(images), self.workers, self.begun)


class SizedPass(SharedPass):
    """A pass whose length is known."""

    def __len__(self) -> int:
        return len(self.batches)


def shared_pass(batches: Iterable[Any], workers: int, begun: Callable[[], None]) -> SharedPass:
    """A :class:`SharedPass`, with a length if ``batches`` have one."""
    kind = SizedPass if hasattr(batches, "__len__") else SharedPass
    return kind(batches, workers, begun)
