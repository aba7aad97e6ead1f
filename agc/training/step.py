"""The order of an optimizer step, written once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from agc import rng
from agc.communication.base import Communication
from agc.corrections.none import NoCorrection
from agc.gradients.gradient import backward, mean_loss, preserved_buffers, preserved_gradients
from agc.lazy import torch
from agc.methods.shared.hooks import Method
from agc.optimizers.base import TorchOptimizer
from agc.quantization.none import NoQuantization
from agc.training.tilt import Tilt

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.corrections.base import Correction
    from agc.gradients.gradient import LossFunction
    from agc.quantization.base import Quantization
    from agc.training.observer import Observer


NONE = -1


class Step:
    """One optimizer step, with a sparse method and a gradient correction, in the right order.

    ::

        step = Step(model, optimizer, loss_fn, RigL(model, optimizer, ...), AGC(model))
        for epoch in range(epochs):
            step.begin_epoch(loader)
            for batch in loader:
                loss = step(batch)
        step.end(loader)

    Wherever a batch is asked for, :class:`~agc.gradients.micro_batches.MicroBatches` may stand: its
    batches make one step. float16 with a GradScaler is the one case that needs the calls one by
    one.

    Args:
        model: any module, or DistributedDataParallel around it; method and correction have got
            the same.
        optimizer: if its ``step`` needs a closure, it gets :meth:`closure`, and if it probes,
            :meth:`searched` too.
        loss_fn: ``(model, batch) -> mean loss``; it holds the autocast, if there is one.
        sparse: the sparse-training method, or None.
        correction: of the gradients, or None.
        quantization: of the model's numbers, or None; a loss of its own (DFQ) is in ``loss_fn``.
        communication: how workers share a step, or None, where there is one.
        clip_norm: largest norm of the corrected gradient, or None.
        observers: who looks on.

    Attributes:
        changed: whether the last step has changed the topology.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss_fn: LossFunction,
        sparse: Method | None = None,
        correction: Correction | None = None,
        quantization: Quantization | None = None,
        *,
        communication: Communication | None = None,
        clip_norm: float | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.loss_fn = loss_fn
        self.backward = backward
        """What computes :func:`~agc.gradients.gradient.backward`."""
        self.aside: Callable[[], AbstractContextManager[None]] = nullcontext
        """Makes what the method's passes before the first step and after the last are within."""
        self.sparse = Method() if sparse is None else sparse
        self.correction = NoCorrection(model) if correction is None else correction
        if sparse is not None:
            self.correction.attach(sparse)
        self.quantization = NoQuantization(model) if quantization is None else quantization
        self.quantization.attach(self.sparse, optimizer)
        self.probes = isinstance(optimizer, TorchOptimizer) and optimizer.probes
        self.takes_closure = self.probes or _needs_closure(optimizer)
        changed = clip_norm is not None or not self.correction.changes_nothing
        changed = changed or self.quantization.rounds
        self.tilt = Tilt(model.parameters() if self.probes and changed else ())
        self.clip_norm = clip_norm
        self.observers = list(observers)
        self.contracting = [m for m in model.modules() if hasattr(m, "keep_contraction")]
        self.communication = Communication() if communication is None else communication
        self.communication.attach(self)
        self.begun = self.changed = False
        self.counted = NONE
        """The step whose gradient was asked for last."""

    def begin(self, batches: Iterable[Any]) -> None:
        """Before the first step; :meth:`begin_epoch` calls it if nobody has."""
        self.begun = True
        with self.aside():
            self.sparse.begin(self.communication.passes(batches), self.loss_fn)
        self.keep_contractions()

    def begin_epoch(self, batches: Iterable[Any]) -> None:
        """Before an epoch's first step: each iteration of ``batches`` is a pass over the data."""
        if not self.begun and self.sparse.steps == 0:
            self.begin(batches)
        self.quantization.begin_epoch()
        self.correction.begin_epoch(self.communication.passes(batches, True), self.loss_fn)
        if isinstance(self.optimizer, TorchOptimizer):
            self.optimizer.begin_epoch()
        for observer in self.observers:
            observer.epoch_begun()

    def __call__(self, batch: Any) -> Tensor:
        """Make one step; the batch's loss before it, detached."""
        self.counted = NONE  # a step that failed may be made after all
        with self.sparse.updating() as update:
            loss = self.communication.step(self, batch)
        self.keep_contractions()
        self.changed = update.changed
        if update.changed:
            self.correction.on_topology_update(self.sparse.masks)
            self.quantization.on_topology_update()
            self.communication.on_topology_update(self.sparse.masks)
        for observer in self.observers:
            observer.stepped(update.changed)
        return loss

    def alone(self, batch: Any) -> Tensor:
        """The optimizer's step of one worker, from the whole batch; the loss, detached."""
        if self.probes:
            return self.optimizer.step(self.closure(batch), partial(self.searched, batch))
        if self.takes_closure:
            return self.optimizer.step(self.closure(batch))
        loss = self.gradient(batch)
        self.optimizer.step()
        return loss

    def gradient(self, batch: Any) -> Tensor:
        """Leave in ``.grad`` what the optimizer is to see; the loss, detached.

        Within a step it may be asked for again, at other weights: what method, correction and
        running statistics remember of a step comes from the first time alone. A step lasts until
        the method's ``updating`` ends.

        Raises:
            RuntimeError: it is asked for again, and the method or the correction has no answer.
        """
        again = self.counted == self.sparse.steps
        self._allow(again)
        if again:
            with preserved_buffers(self.correction.model):
                return self.of_share(batch, lambda loss: None)
        loss = self.of_share(batch, self.look, self.observers)
        self.counted = self.sparse.steps
        return loss

    def look(self, loss: Tensor) -> None:
        """Show the step's loss, and the raw gradient in ``.grad``, to whoever learns from it."""
        self.sparse.observe(loss)
        self.quantization.observe(loss)

    def of_share(
        self, batch: Any, look: Callable[[Tensor], None], observers: Iterable[Observer] = ()
    ) -> Tensor:
        """Leave the corrected and clipped gradient of a batch, or of a share of it, in ``.grad``;
        the loss, detached.

        Args:
            batch: the whole one, or what a worker has of it.
            look: called with the loss while the raw gradient is there.
            observers: told when it has been corrected.
        """
        self.optimizer.zero_grad()
        # An autocast around the whole loop would go on with casts of the weights before.
        torch.clear_autocast_cache()
        with self.sparse.shown(batch, self.loss_fn):
            with self.correction.point(batch, self.loss_fn):
                loss = self.backward(self.model, batch, self.loss_fn)
                look(loss)
            with self.tilt.noticed():
                self.correction.correct(batch, self.loss_fn)
                for observer in observers:
                    observer.corrected()
                self.quantization.round()
                if self.clip_norm is not None:
                    torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        return loss

    def searched(self, batch: Any) -> Tensor:
        """Loss at the present weights of which the step's gradient, corrected and clipped, was
        the gradient: for an optimizer that probes.
        """
        return self.probe(batch, self.optimizer.keeps_buffers) + self.tilt.term()

    def probe(self, batch: Any, keeps_buffers: bool = True) -> Tensor:
        """Loss at the present weights as the sparse network has it, mean over all processes.

        Gradients and random streams are left as they were, and buffers unless ``keeps_buffers``
        says otherwise.
        """
        torch.clear_autocast_cache()
        model = self.correction.model
        buffers = preserved_buffers(model) if keeps_buffers else nullcontext()
        aside = (preserved_gradients(model), buffers, rng.preserved())
        with torch.no_grad(), aside[0], aside[1], aside[2], self.sparse.shown(batch, self.loss_fn):
            return self.mean(mean_loss(self.model, batch, self.loss_fn))

    def closure(self, batch: Any) -> Callable[[], Tensor]:
        """For ``optimizer.step``: gradient and loss of ``batch``, the same on all processes; the
        gradient of what is pruned is zero, so that no search leaves the sparse weights.
        """

        def evaluate() -> Tensor:
            # The optimizer may have moved the weights before it asks.
            self.sparse.settled = False
            loss = self.mean(self.gradient(batch))
            self.sparse.mask_gradients()
            return loss

        return evaluate

    def end(self, batches: Iterable[Any]) -> None:
        """After the last step: leave in the model the weights that are to be used."""
        self.communication.end()
        with self.aside():
            self.sparse.end(self.communication.passes(batches), self.loss_fn)
        self.keep_contractions()

    def keep_contractions(self) -> None:
        """Have what must be a contraction be one: an equilibrium network has no fixed point
        otherwise. What is pruned stays zero.
        """
        for module in self.contracting:
            module.keep_contraction()

    def mean(self, loss: Tensor) -> Tensor:
        """Mean over the processes that train the model together."""
        return self.correction.replicas.mean({"loss": loss})["loss"]

    def _allow(self, again: bool) -> None:
        self.correction.repeated = again
        for one in (self.sparse, self.correction):
            if again and not one.repeatable:
                raise RuntimeError(
                    f"{type(one).__name__} takes part in one gradient of a step alone, and this "
                    "step asks for another, as line searches do"
                )


def _needs_closure(optimizer: Optimizer) -> bool:
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty
