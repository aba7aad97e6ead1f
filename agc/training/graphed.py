"""The three parts of a step that are pure functions, recorded as CUDA graphs.

They are loss and gradient, the gradient at an older point, and an attack from a given start. The
optimizer, masks, corrections, data and updates of the topology stay as they are, and the loop knows
nothing of it. What is recorded and what is not is no part of a cell: the bits are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from agc.architectures import cell_calls
from agc.attacks.shared.pgd import ascended
from agc.attacks.shared.threat import Ball
from agc.corrections.shared.older_point import OlderPoint
from agc.datasets.shared.loader import Batch
from agc.gradients.gradient import LossFunction, backward
from agc.gradients.graphs import CudaRecorder, Graphed, Recorder, say
from agc.gradients.loss_scale import LossScale
from agc.gradients.reference import ReferencePoint
from agc.objectives.shared.adversarial import AdversarialObjective
from agc.training.run import Run


def use_graphs(run: Run, recorder: Callable[[], Recorder] = CudaRecorder) -> bool:
    """Have the steps of a run recorded from now on; whether they can be.

    What cannot be recorded stays as it is, and one line says why.

    Args:
        run: on a CUDA device, not trained yet.
        recorder: makes what records one function.
    """
    if reason := refusal(run):
        say(f"{run.cell.architecture.name}: no CUDA graphs, as {reason}")
        return False
    graphs = _Graphs(run, recorder)
    run.step.backward = graphs.backward
    if isinstance(run.correction, OlderPoint):
        run.correction.older_gradient = graphs.older_gradient
        run.correction.noise.idle = True
    if isinstance(run.objective, AdversarialObjective):
        run.objective.ascend = graphs.ascend
    return True


def refusal(run: Run) -> str | None:
    """Why a step of the run is no function that could be recorded, or None."""
    cell = run.cell
    if run.wrapped is not run.model:
        return "several devices train it together"
    if cell.quantization.name != "none":
        return f"quantization {cell.quantization.name} changes its formats while it trains"
    if run.noisy:
        return "the network draws random numbers (dropout)"
    if cell_calls(cell.architecture) is not None:
        return "how often an equilibrium network calls its cell depends on its values"
    if cell.communication.name != "none":
        return f"communication {cell.communication.name} has workers that take turns"
    if not run.objective.pure:
        return f"objective {cell.objective.name} learns from the backward pass"
    return None


class _Graphs:
    """The recorded functions of one run."""

    def __init__(self, run: Run, recorder: Callable[[], Recorder]) -> None:
        self.model = run.model
        self.ascended = getattr(run.objective, "ascend", ascended)
        self.parameters = list(run.model.parameters())
        self.modules = list(run.model.modules())
        self.held = [module._buffers for module in self.modules if module._buffers]
        self.point: ReferencePoint | None = None
        self.batch: Batch | None = None
        self.since: Any = None
        self.versions: list[int] = []
        kinds = {
            "the gradient": self._weights,
            "the gradient at the older point": self._point,
            "the attack": self._weights,
        }
        self.step, self.older, self.attack = (
            Graphed(name, reads, run.meter, recorder()) for name, reads in kinds.items()
        )

    def backward(self, model: nn.Module, batch: Any, loss_fn: LossFunction) -> Tensor:
        """:func:`~agc.gradients.gradient.backward`; ``.grad`` is the graph's own memory, which the
        next step writes to.
        """
        if not isinstance(batch, Batch) or any(p.grad is not None for p in self.parameters):
            return backward(model, batch, loss_fn)
        self.batch, self.since = batch, self.older.recorder.mark()
        self.versions = [tensor._version for tensor in self._point()]

        def function(tensors: Sequence[Tensor]) -> tuple[Tensor, list[Tensor | None]]:
            loss = backward(model, _with(batch, tensors), loss_fn)
            return loss, [parameter.grad for parameter in self.parameters]

        loss, gradients = self.step(function, _tensors(batch), self._flags(), undo=self._forget)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        return loss.clone()

    def older_gradient(
        self, point: ReferencePoint, batch: Any, loss_fn: LossFunction, scale: LossScale
    ) -> dict[str, Tensor]:
        """:meth:`~agc.gradients.reference.ReferencePoint.gradient`, beside that of the same batch
        at the present weights, unless the point has changed since that was begun.
        """
        if not isinstance(batch, Batch):
            return point.gradient(batch, loss_fn, scale)
        unchanged = point is self.point and batch is self.batch
        self.point = point
        unchanged &= self.versions == [tensor._version for tensor in self._point()]
        return self.older(
            lambda tensors: point.gradient(_with(batch, tensors), loss_fn, scale),
            _tensors(batch),
            (self._flags(), frozenset(point.trained)),
            self.since if unchanged else None,
        )

    def ascend(
        self,
        model: nn.Module,
        ball: Ball,
        start: Tensor,
        loss_fn: Callable[[Tensor], Tensor],
        *settings: Any,
    ) -> Tensor:
        """:func:`~agc.attacks.shared.pgd.ascended`, where the loss tells which tensors it has."""
        if not isinstance(loss_fn, partial):
            return self.ascended(model, ball, start, loss_fn, *settings)

        def function(tensors: Sequence[Tensor]) -> Tensor:
            images, begin, *others = tensors
            around = type(ball)(images, ball.epsilon)
            return self.ascended(model, around, begin, partial(loss_fn.func, *others), *settings)

        flags = (type(ball), ball.epsilon, loss_fn.func, settings, self._flags())
        return self.attack(function, [ball.images, start, *loss_fn.args], flags).clone()

    def _weights(self) -> Iterator[Tensor]:
        yield from self.parameters
        for buffers in self.held:
            yield from (buffer for buffer in buffers.values() if buffer is not None)

    def _point(self) -> Iterator[Tensor]:
        if self.point is None:
            return
        yield from self.point.values.values()
        for buffers in self.point.buffers.values():
            yield from (buffer for buffer in buffers.values() if buffer is not None)

    def _flags(self) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
        """Modes of all modules, and which weights are trained."""
        modes = tuple(module.training for module in self.modules)
        return modes, tuple(parameter.requires_grad for parameter in self.parameters)

    def _forget(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None


def _tensors(batch: Batch) -> list[Tensor]:
    return [batch.images, batch.labels, *([] if batch.clean is None else [batch.clean])]


def _with(batch: Batch, tensors: Sequence[Tensor]) -> Batch:
    """The batch with other tensors; its noise is for networks that draw."""
    images, labels, *clean = tensors
    return batch._replace(images=images, labels=labels, clean=clean[0] if clean else None)
