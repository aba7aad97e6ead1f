"""A step of several workers: each takes the gradient of its own share of the batch.

Workers are simulated one after another in a process, or spread over the processes of a
DistributedDataParallel model, several in each if there are more workers than processes. Both ways
compute the same but for rounding, and for networks that draw noise.

Between processes numbers travel as they are, those of active coordinates alone; bits are counted
by what a message of a compressor takes, not by what this simulation of it moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from agc.communication.base import Communication, Step
from agc.communication.shared.active import ActiveCoordinates
from agc.communication.shared.rules import GATED, MEMORY, ROUNDED, unshared_method
from agc.communication.shared.shares import shared_pass, shares
from agc.communication.shared.statistics import WorkersStatistics
from agc.communication.shared.traffic import Traffic
from agc.compressors.base import FLOAT
from agc.errors import UserError
from agc.gradients.moved import moved
from agc.lazy import torch
from agc.methods.shared.hooks import Method
from agc.processes.replicas import Replicas
from agc.processes.share import Share

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter
    from torch.optim import Optimizer

Count = Annotated[int, Field(ge=1)]
Tensors = dict[str, "Tensor"]


class Workers(Traffic, Communication):
    """Splits each batch over workers; base of the entries that have some.

    What is kept for each weight (errors, momentum, gradients) lies in ``optimizer.state`` beside
    the optimizer's own tensors: masks, rewinding and checkpoints reach it there.

    Args:
        model: any module, or DistributedDataParallel around it.
        optimizer: of its parameters.
        workers: how many share each batch; worker i has its rows i, i + W and so on.

    Raises:
        UserError: the processes cannot have as many workers each.
    """

    one_worker = False
    state = ("steps",)
    made_with: ClassVar[dict[str, str] | None] = {"workers": "workers"}

    def __init__(self, model: Module, optimizer: Optimizer, *, workers: Count = 4) -> None:
        super().__init__(model, optimizer)
        self.replicas = Replicas(model)
        self.model = self.replicas.module
        self.workers = workers
        if workers % self.replicas.count:
            raise UserError(
                f"{workers} workers cannot be spread evenly over {self.replicas.count} processes"
            )
        first = Share.here().rank if self.replicas.count > 1 else 0
        self.own = list(range(first, workers, self.replicas.count))
        """Numbers of the workers in this process."""
        self.steps = 0
        self.parameters: dict[str, Parameter] = {}
        """What is trained in the present step, by name."""
        self.groups: dict[str, dict[str, Any]] = {}
        """The optimizer's settings for each of them."""
        self.sparse: Method = Method()

    def attach(self, step: Step) -> None:
        """Know the masks, and make sure that workers can share such a step.

        Raises:
            UserError: method, correction or quantization keep something of each step, or the
                optimizer asks for the loss of the whole batch.
        """
        self.sparse = step.sparse
        reason = unshared_method(step.sparse)
        if reason is None and not step.correction.by_worker:
            raise UserError(f"{type(step.correction).__name__} {MEMORY}")
        if reason is not None:
            raise UserError(f"{type(step.sparse).__name__} {reason}")
        if not step.quantization.by_worker:
            raise UserError(f"{type(step.quantization).__name__} {GATED}")
        if step.quantization.rounds:
            raise UserError(f"{type(step.quantization).__name__} {ROUNDED}")
        if step.takes_closure:
            raise UserError(
                f"{type(step.optimizer).__name__} asks for the loss of the whole batch, which no "
                "worker has"
            )

    def step(self, step: Step, batch: Any) -> Tensor:
        """Have each worker's gradient, show the mean raw one to the sparse method, and update."""
        self.look_around()
        self.begin()
        gradients, raw, losses = [], [], []

        def look(loss: Tensor) -> None:
            losses.append(loss)
            raw.append({name: p.grad.clone() for name, p in self._reached()})

        statistics = WorkersStatistics(self.model, self.replicas)
        for number, share in zip(self.own, shares(batch, len(self.own)), strict=True):
            with statistics.of_worker(), moved(self.parameters, self.shift(number)):
                with self._apart(step):
                    step.of_share(share, look)
                gradients.append({name: p.grad for name, p in self._reached()})
        statistics.take_means()
        loss = torch.stack(losses).mean()
        self._observe(raw, loss)
        step.quantization.observe(loss)
        for observer in step.observers:
            observer.corrected()
        self.optimizer.zero_grad()
        self.update(self._complete(gradients))
        self.steps += 1
        return loss

    def begin(self) -> None:
        """Before the workers take their gradients."""

    def look_around(self) -> None:
        """Look what is trained in this step, and by which settings."""
        groups = {id(p): group for group in self.optimizer.param_groups for p in group["params"]}
        trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        self.parameters = {name: p for name, p in trained.items() if id(p) in groups}
        self.groups = {name: groups[id(p)] for name, p in self.parameters.items()}

    @cached_property
    def active(self) -> ActiveCoordinates:
        """What travels, until the topology changes."""
        return ActiveCoordinates(self.sparse.masks)

    def shift(self, number: int) -> Tensors:
        """By how much a worker moves the weights for its gradient, zero where they are pruned."""
        return {}

    def update(self, gradients: list[Tensors]) -> None:
        """Exchange messages and move the weights, which are those that all workers share.

        Args:
            gradients: of each worker in this process, corrected and clipped, by name.
        """
        raise NotImplementedError

    def passes(self, batches: Iterable[Any], averaged: bool = False) -> Iterable[Any]:
        """Each batch of a pass as the workers have it; a mean gradient over it is sent whole."""

        def begun() -> None:
            if averaged:
                whole = FLOAT * sum(p.numel() for p in self.model.parameters() if p.requires_grad)
                self.travelled(whole, whole)

        return shared_pass(batches, len(self.own), begun)

    def plain_bits(self, names: Iterable[str]) -> int:
        """Of the active coordinates of these weights, sent as they are."""
        return FLOAT * sum(self.active.size(name, self.parameters[name]) for name in names)

    def on_topology_update(self, masks: Mapping[str, Tensor]) -> None:
        """Other coordinates are active from now on."""
        vars(self).pop("active", None)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave; the masks may be others than before."""
        super().load_state_dict(state)
        vars(self).pop("active", None)

    def take_mean(self, gradients: list[Tensors]) -> None:
        """Leave the mean over all workers in ``.grad``, zero where a weight is pruned."""
        flat = [{n: self.active.of(n, g) for n, g in own.items()} for own in gradients]
        bits = self.plain_bits(flat[0])
        self.travelled(bits, bits)
        for name, numbers in self.mean(flat).items():
            weight = self.parameters[name]
            weight.grad = self.active.back(name, numbers, weight)

    def mean(self, found: list[Tensors]) -> Tensors:
        """Mean over all workers, in the order of their numbers within a process."""
        total = dict(found[0])
        for one in found[1:]:
            total = {name: total[name] + tensor for name, tensor in one.items()}
        if len(found) > 1:
            total = {name: tensor / len(found) for name, tensor in total.items()}
        return self.replicas.mean(total)

    def slot(self, name: str, what: str) -> Tensor:
        """A tensor of a weight's shape, in the optimizer's state; zeros at first."""
        parameter = self.parameters[name]
        state = self.optimizer.state[parameter]
        if what not in state:
            state[what] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return state[what]

    def _reached(self) -> Iterator[tuple[str, Parameter]]:
        """Weights that have a gradient."""
        return ((name, p) for name, p in self.parameters.items() if p.grad is not None)

    @contextmanager
    def _apart(self, step: Step) -> Iterator[None]:
        """Within it a process averages nothing with the others."""
        quiet = step.model.no_sync() if hasattr(step.model, "no_sync") else nullcontext()
        with quiet, step.correction.replicas.apart():
            yield

    def _complete(self, gradients: list[Tensors]) -> list[Tensors]:
        """Zeros where a worker's share does not reach a weight that another one's does.

        Raises:
            RuntimeError: there are several processes, and a weight has no gradient in one.
        """
        parameters = self.parameters
        names = [n for n in parameters if any(n in gradient for gradient in gradients)]
        if self.replicas.count > 1 and len(names) < len(parameters):
            (lacking, *_) = parameters.keys() - set(names)
            raise RuntimeError(
                f"{lacking!r} got no gradient; with several processes each weight needs one"
            )
        return [
            {n: gradient[n] if n in gradient else torch.zeros_like(parameters[n]) for n in names}
            for gradient in gradients
        ]

    def _observe(self, raw: list[Tensors], loss: Tensor) -> None:
        """Let the sparse method look at the mean of the workers' raw gradients, if it looks."""
        if type(self.sparse).observe is Method.observe:
            return
        for name, gradient in self.mean(self._complete(raw)).items():
            self.parameters[name].grad = gradient
        before = self.sparse.dense_gradients
        self.sparse.observe(loss)
        if self.sparse.dense_gradients > before:
            whole = FLOAT * sum(mask.numel() for mask in self.sparse.masks.values())
            self.travelled(whole, whole)
