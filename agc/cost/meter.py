"""Passes, counted where the model is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from agc.architectures.shared.equilibrium import equilibrium_of
from agc.gradients.calls import Watch

COUNTED = ("forward", "input_backward", "backward")
COUNTED += ("cell_calls", "cell_vjps", "single_calls", "single_vjps")


@dataclass
class Meter:
    """Images that went forward and backward through a model.

    A pass of an equilibrium network calls its cell many times. A call that somebody makes beside
    its passes, from a state of their own, is that part of one.

    Attributes:
        forward: images through the network.
        input_backward: images whose gradient went to the input alone (weights frozen).
        backward: images whose gradient went to the weights.
        processes: which train one model together, each on as many images; all of them count.
        cell_calls: images through the cell of an equilibrium network, in passes and beside them.
        cell_vjps: images whose gradient went back through it: vector-Jacobian products.
        single_calls: those of ``cell_calls`` that were made beside passes.
        single_vjps: the same of ``cell_vjps``.
        pass_calls: calls of the cell in a pass.
    """

    forward: int = 0
    input_backward: int = 0
    backward: int = 0
    paused: bool = False
    processes: int = 1
    cell_calls: int = 0
    cell_vjps: int = 0
    single_calls: int = 0
    single_vjps: int = 0
    pass_calls: int = 1

    def watch(self, model: nn.Module) -> None:
        """Count from now on, as long as there is the meter. Copies of the model do not count."""
        Watch([model], after=self._count)
        network = equilibrium_of(model)
        if network is not None:
            self.pass_calls = network.calls
            Watch([network.cell], after=self._count_cell)

    def _count(self, module: nn.Module, args: tuple[Tensor, ...], output: Any) -> None:
        if self.paused:
            return
        images = len(args[0]) * self.processes
        if len(args) > 1:
            self._call("single", images, output[0])
            return
        self.forward += images
        if output.requires_grad:
            trained = any(p.requires_grad for p in module.parameters())
            kind = "backward" if trained else "input_backward"
            output.register_hook(partial(self._add, kind, images))

    def _count_cell(self, cell: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        if not self.paused:
            self._call("cell", len(args[0]) * self.processes, output)

    def _call(self, whose: str, images: int, state: Tensor) -> None:
        self._add(f"{whose}_calls", images)
        if state.requires_grad:
            state.register_hook(partial(self._add, f"{whose}_vjps", images))

    def _add(self, kind: str, images: int, _: Tensor | None = None) -> None:
        setattr(self, kind, getattr(self, kind) + images)

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Do not count within the block (evaluation is no training cost)."""
        self.paused = True
        try:
            yield
        finally:
            self.paused = False

    def counts(self) -> dict[str, int]:
        """All numbers of images so far, by name."""
        return {name: getattr(self, name) for name in COUNTED}

    def add(self, counts: Mapping[str, int]) -> None:
        """Count what somebody else knows of: passes that were made without calling the model."""
        for name, number in counts.items():
            self._add(name, number)

    @property
    def forwards(self) -> float:
        """Images that went forward, calls beside the passes included."""
        return self.forward + (self.single_calls and self.single_calls / self.pass_calls)

    @property
    def input_backwards(self) -> float:
        """Images whose gradient went to the input alone, with products beside the passes."""
        return self.input_backward + (self.single_vjps and self.single_vjps / self.pass_calls)

    def units(self, images_per_epoch: int) -> float:
        """Cost so far in forward passes over the training images; a backward pass is two."""
        return (self.forwards + 2 * (self.input_backwards + self.backward)) / images_per_epoch

    def state_dict(self) -> dict[str, Any]:
        """The counts."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        for key, value in state.items():
            setattr(self, key, value)
