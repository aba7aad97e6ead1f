"""Cost, counted: passes by hooks on the model, FLOPs by torch's counter weighted with masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from agc.methods.base import SparseMethod


@dataclass
class Meter:
    """Images that went forward and backward through a model and through its copies.

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
        """Count from now on. A deep copy of the model shares the hook, hence this meter."""

        def count(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            if self.paused:
                return
            images = len(args[0]) * self.processes
            self.forward += images
            if output.requires_grad:
                trained = any(p.requires_grad for p in module.parameters())
                kind = "backward" if trained else "input_backward"
                output.register_hook(partial(self._add, kind, images))

        model.register_forward_hook(count)

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


@dataclass(frozen=True)
class LayerFlops:
    """FLOPs of one forward pass of one image (a multiply-add is two).

    Attributes:
        layers: by name of the prunable weight, when dense.
        sizes: number of weights of each.
        rest: everything else.
    """

    layers: dict[str, float]
    sizes: dict[str, int]
    rest: float

    def forward(self, active: Mapping[str, int] | None = None) -> float:
        """With ``active`` weights in each layer; dense if None."""
        if active is None:
            return sum(self.layers.values()) + self.rest
        shares = (flops * active[name] / self.sizes[name] for name, flops in self.layers.items())
        return sum(shares) + self.rest


def layer_flops(model: nn.Module, image: Tensor, parameters: Mapping[str, Tensor]) -> LayerFlops:
    """Count the FLOPs of one image, [1, C, H, W], layer by layer.

    Args:
        model: put into evaluation mode for the count, and back.
        image: one image on the model's device.
        parameters: prunable weights by name, as the method has them.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    for module, training in modes:
        module.training = training
    counts = {name: float(sum(ops.values())) for name, ops in counter.get_flop_counts().items()}
    root = type(model).__name__
    layers = {
        name: counts.get(f"{root}.{name.removesuffix('.weight')}", 0.0) for name in parameters
    }
    sizes = {name: parameter.numel() for name, parameter in parameters.items()}
    return LayerFlops(layers, sizes, counts.get("Global", 0.0) - sum(layers.values()))


class Ledger:
    """Training FLOPs, after RigL (arXiv 1911.11134, appendix H), as densities come and go.

    A forward pass costs f, a backward pass to the input f, one to the weights g, where f and g
    weight each layer by the share of its weights that are active, or whose gradient is needed. A
    gradient that is needed at every weight costs the dense g.

    Args:
        flops: of the network.
        meter: what to settle.
        method: its densities count until the next settlement.
        batch_size: images of a step.
    """

    def __init__(
        self, flops: LayerFlops, meter: Meter, method: SparseMethod, batch_size: int
    ) -> None:
        self.flops = flops
        self.meter = meter
        self.batch_size = batch_size
        self.total = 0.0
        self.updates = 0
        self.settled = (0, 0, 0)
        self.densities = self._densities(method)

    def settle(self, method: SparseMethod) -> None:
        """The topology has changed: what came before costs what the densities before it cost."""
        self.total = self.so_far(method)
        self.settled = self._counts(method)
        self.densities = self._densities(method)
        self.updates += method.steps > 0

    def so_far(self, method: SparseMethod) -> float:
        """Training FLOPs up to now."""
        now = self._counts(method)
        forward, backward, dense = (a - b for a, b in zip(now, self.settled, strict=True))
        f, g = self.densities
        new = forward * f + backward * g + dense * (self.flops.forward() - g)
        return self.total + new

    def _counts(self, method: SparseMethod) -> tuple[int, int, int]:
        meter = self.meter
        to_inputs = meter.forward + meter.input_backward + meter.backward
        return to_inputs, meter.backward, method.dense_gradients * self.batch_size

    def _densities(self, method: SparseMethod) -> tuple[float, float]:
        sparse = self.flops.forward(method.active())
        return sparse, self.flops.forward(method.gradient_active())

    def state_dict(self) -> dict[str, Any]:
        """What was settled."""
        keys = ("total", "updates", "settled", "densities")
        return {key: getattr(self, key) for key in keys}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self.total, self.updates = state["total"], state["updates"]
        self.settled, self.densities = tuple(state["settled"]), tuple(state["densities"])
