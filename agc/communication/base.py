"""What a communication is: it makes the optimizer's step from a batch.

One worker does so by itself (``none``). Several share each batch, and an entry says at which
weights each of them takes its gradient, what it sends, and what all of them do with the mean
(:mod:`agc.communication.shared.workers`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from agc.cost.units import Cost

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer


class Step(Protocol):
    """What a communication asks of a :class:`~agc.training.step.Step`."""

    model: Module
    optimizer: Optimizer
    sparse: Any
    correction: Any
    quantization: Any
    observers: list[Any]

    def alone(self, batch: Any) -> Tensor:
        """Make the optimizer's step of one worker; the loss."""

    def of_share(self, batch: Any, look: Callable[[Tensor], None]) -> Tensor:
        """Leave the corrected gradient of a share of a batch in ``.grad``; the loss.

        ``look`` is called with the loss while the raw gradient is there.
        """


class Communication:
    """One worker: the step as it is; base of the entries.

    Args:
        model: any module, or DistributedDataParallel around it.
        optimizer: of its parameters.
    """

    one_worker: ClassVar[bool] = True
    """Whether there is one worker, however many processes share its work: batch norm sees the whole
    batch then, and what the optimizer keeps is the same in all of them."""

    off: ClassVar[dict[str, Any]] = {}
    """Options with which workers do what all-reduce does, and one worker what ``none`` does."""

    def __init__(self, model: Module | None = None, optimizer: Optimizer | None = None) -> None:
        self.optimizer = optimizer

    def step(self, step: Step, batch: Any) -> Tensor:
        """Make the optimizer's step; the batch's loss before it, detached."""
        return step.alone(batch)

    def passes(self, batches: Iterable[Any], averaged: bool = False) -> Iterable[Any]:
        """The batches of passes beside the steps, as the steps see them.

        Args:
            batches: each iteration is a pass.
            averaged: whether a mean gradient over each pass is wanted everywhere.
        """
        return batches

    def traffic(self) -> dict[str, int]:
        """Bits so far: ``bits_up`` that a worker has sent, ``bits_down`` that came back to it;
        nothing where nobody sends.
        """
        return {}

    def attach(self, step: Step) -> None:
        """Know the step that it is to make; called once, before the training.

        Raises:
            UserError: it cannot make this one.
        """

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """Have the model at the weights that are to be used; then as before, bit by bit."""
        yield

    def end(self) -> None:
        """After the last step: leave in the model the weights that are to be used."""

    def on_topology_update(self, masks: Mapping[str, Tensor]) -> None:
        """The sparse method has changed its masks."""

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """Why this communication makes no sense in ``cell``, or None; asked before anything runs.

        What holds for all entries is in :mod:`agc.communication.shared.rules`.
        """
        return None

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """Declared cost for one worker, beyond that of the optimizer."""
        return Cost()
