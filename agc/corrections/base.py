"""What a gradient correction is: it edits ``.grad`` between ``backward`` and ``optimizer.step``.

It is neither an optimizer nor a loss. It never touches the model's buffers, modes or weights, nor
any random stream: with a coefficient of 0 a run has the same bits as one without correction. The
streams are the global ones of torch, Python and NumPy, and the generators that a data loader, its
samplers, its data set and the transforms in it hold. A pass over the data cannot put back what an
iterator remembers by other means: where a stream of data has got to, and the random streams within
persistent workers (``persistent_workers=True``), which go on from pass to pass.

In a loop of one's own (:class:`~agc.training.step.Step` does all of this but the GradScaler):

- ``loss_fn(model, batch)`` uses the model that it is given, calls it as a whole, and returns the
  batch's mean loss. It holds the autocast, if there is one. ``model.train()`` comes before
  ``begin_epoch``.
- Gradient accumulation: give :class:`~agc.gradients.micro_batches.MicroBatches` wherever a batch is
  asked for; ``GroupedBatches(loader, k)`` makes them.
- float16 with a GradScaler: ``scaler.unscale_(optimizer)`` comes between ``backward`` and
  ``correct``. Steps that the scaler leaves out for an overflow leave no trace here either.
- ``torch.compile``: give what it returned, or compile in place before the first step.
- DistributedDataParallel: give the wrapped model. ``correct`` and ``begin_epoch`` are called on all
  processes, with as many batches on each.
- Hooks of your own run in all passes, as they may be part of the network. One that logs or counts
  asks :func:`~agc.gradients.beside.beside_the_step`.
- An optimizer that asks for the gradient again within a step (LBFGS) needs a correction that is
  ``repeatable``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from agc.cost.units import Cost
from agc.gradients.held import HeldParameters
from agc.gradients.sparse_layout import refuse_sparse_gradients, refuse_sparse_layers
from agc.gradients.uninitialized import refuse_uninitialized
from agc.processes.replicas import Replicas
from agc.state import Stateful

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter

    from agc.gradients.gradient import LossFunction
    from agc.methods.shared.hooks import Method


class Correction(Stateful):
    """Changes nothing; base of those that do.

    ``begin_epoch`` comes before an epoch's first step. A step enters ``point`` (which may move the
    weights to where the gradient is to be evaluated) for forward and backward pass, leaves it, and
    calls ``correct``; after optimizer and sparse method, ``on_topology_update`` if masks changed.

    A parameter that a batch does not reach has no gradient and keeps none in that step.

    Args:
        model: any module, as it is called in training: wrapped in DistributedDataParallel or
            DataParallel, or compiled, in any order. Names and states are those of the network
            itself. Its parameters that require a gradient at the moment are corrected.

    Raises:
        UserError: a lazy layer has no weights yet.
    """

    pass_images: ClassVar[Literal["prepared", "clean", "raw"]] = "prepared"
    """What ``begin_epoch`` wants: batches as the objective prepares them, before the attack, or
    before augmentation too."""

    off: ClassVar[dict[str, Any] | None] = {}
    """Options with which it changes nothing; None if it has no strength that could be 0. The tests
    see to it that such a run has the bits of a plain one."""

    fixed_batches: ClassVar[bool] = False
    """Whether the same images must share a batch in every epoch (``Batch.index`` names it)."""

    changes_nothing: ClassVar[bool] = False
    """Whether it leaves gradients as they are, so that it needs to know nothing of the weights."""

    sparse_gradients: ClassVar[bool] = True
    """Whether a gradient may have torch's sparse layout, as of ``nn.Embedding(sparse=True)``."""

    repeatable: ClassVar[bool] = False
    """Whether the gradient of one step may be asked for again, at other weights. What the
    correction remembers of a step then comes from the first time alone (``repeated``)."""

    searchable: ClassVar[bool] = True
    """Whether the corrected gradient is that of the batch's loss at the present weights and a
    vector that may stay as it is while a line search moves them. The search takes the loss with the
    vector's linear term, whose gradient the corrected one is. Not so where the gradient is of
    another point, or is carried on from step to step."""

    spans_epochs: ClassVar[bool] = False
    """Whether it compares gradients of one epoch with those of another, so that the precision of
    numbers must not change between them. Not so where a snapshot is taken as each epoch begins."""

    by_worker: ClassVar[bool] = False
    """Whether the workers that share a batch may each have it correct the gradient of their own
    share: it moves no weights, and what it remembers of a step has no batch in it."""

    made_with: ClassVar[dict[str, str] | None] = {}

    watchers: tuple[str, ...] = ("noise", "scale")
    """Attributes, of those that have them, that notice when the model is called."""

    def __init__(self, model: Module) -> None:
        self.replicas = Replicas(model)
        self.model = self.replicas.module
        self.passes = self.replicas.passes
        """What passes beside the step go through: the model, compiled if it is."""
        if not self.changes_nothing:
            refuse_uninitialized(self.model, type(self).__name__)
        if not self.sparse_gradients:
            refuse_sparse_layers(self.model, self.model.parameters(), type(self).__name__)
        self._named = dict(self.model.named_parameters())
        self._held = HeldParameters(self.model, self._named.values(), type(self).__name__)
        self.sparse: Method | None = None
        self.masks: dict[str, Tensor] = {}
        """Of the sparse method, which changes them in place."""
        self.repeated = False
        """Whether the gradient of this step was asked for before; the step says so."""

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What is trained now, by name; a tied parameter appears once.

        Raises:
            RuntimeError: the model has other parameters now.
        """
        self._held.check()
        return {n: p for n, p in self._named.items() if p.requires_grad}

    def named_tensors(self) -> dict[str, Parameter]:
        """All parameters, frozen ones too."""
        return self._named

    def gradients(self) -> dict[str, Tensor]:
        """The present ``.grad`` of each parameter that has one.

        Raises:
            UserError: one is sparse, and it must not be.
        """
        found = {n: p.grad for n, p in self.parameters.items() if p.grad is not None}
        if not self.sparse_gradients:
            refuse_sparse_gradients(found, type(self).__name__)
        return found

    def close(self) -> None:
        """Leave the model as if there had never been a correction; it corrects no further step.

        So does the end of a ``with`` block, and that of the correction itself.
        """
        for name in self.watchers:
            watcher = getattr(self, name, None)
            if watcher is not None:
                watcher.watch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """Why this correction makes no sense in ``cell``, or None; asked before anything runs."""
        return None

    def attach(self, sparse: Method) -> None:
        """Know the sparse method, and so its masks; called once, before the training."""
        self.sparse, self.masks = sparse, sparse.masks

    def begin_epoch(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Get ready for an epoch: each iteration of ``batches`` is a pass over the data.

        The suite's are a :class:`~agc.training.loop.DataPass`, whose ``showing`` gives the same
        passes with another kind of images.
        """

    @contextmanager
    def point(self, batch: Any, loss_fn: LossFunction) -> Iterator[None]:
        """Have the weights where the gradient of this batch is to be evaluated; then put them
        back, bit by bit.
        """
        yield

    def correct(self, batch: Any, loss_fn: LossFunction) -> None:
        """Edit the gradients, which are those of ``loss_fn(model, batch)``, in place."""

    def on_topology_update(self, masks: dict[str, Tensor]) -> None:
        """The sparse method has changed its masks."""

    def diagnostics(self) -> dict[str, float]:
        """Numbers for the epoch's log, by name."""
        return {}

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """Declared cost with these options; the tests count and compare."""
        return Cost()
