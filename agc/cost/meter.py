"""Passes, counted where the model is called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from agc.gradients.calls import Watch


@dataclass
class Meter:
    """Images that went forward and backward through a model.

    Attributes:
        forward: images through the network.
        input_backward: images whose gradient went to the input alone (weights frozen).
        backward: images whose gradient went to the weights.
        processes: which train one model together, each on as many images; all of them count.
    """

    forward: int = 0
    input_backward: int = 0
    backward: int = 0
    paused: bool = False
    processes: int = 1

    def watch(self, model: nn.Module) -> None:
        """Count from now on, as long as there is the meter. Copies of the model do not count."""
        Watch([model], after=self._count)

    def _count(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        if self.paused:
            return
        images = len(args[0]) * self.processes
        self.forward += images
        if output.requires_grad:
            trained = any(p.requires_grad for p in module.parameters())
            kind = "backward" if trained else "input_backward"
            output.register_hook(partial(self._add, kind, images))

    def _add(self, kind: str, images: int, _: Tensor) -> None:
        setattr(self, kind, getattr(self, kind) + images)

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Do not count within the block (evaluation is no training cost)."""
        self.paused = True
        try:
            yield
        finally:
            self.paused = False

    def units(self, images_per_epoch: int) -> float:
        """Cost so far in forward passes over the training images; a backward pass is two."""
        return (self.forward + 2 * (self.input_backward + self.backward)) / images_per_epoch

    def state_dict(self) -> dict[str, Any]:
        """The counts."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        for key, value in state.items():
            setattr(self, key, value)
