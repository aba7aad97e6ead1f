"""An older point of the training, where losses and gradients can be asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agc.gradients.bindings import Bindings, restore_buffers
from agc.gradients.gradient import loss_and_gradient, mean_loss
from agc.gradients.lists import copy_to
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter

    from agc.gradients.gradient import LossFunction
    from agc.gradients.loss_scale import LossScale

Buffers = dict[str, dict[str, "Tensor | None"]]
"""By name of the module, and of the buffer in it."""


class ReferencePoint:
    """Older weights of a model, where losses and gradients can be asked for.

    Not a second network: a pass lends the older values to the parameters of the model itself, so
    that whatever a loss function does with the model (its methods, its parameters, parts of it)
    it does at the point, and no network needs to be copied. Parameters stay the same objects.

    The point has buffers of its own, so that batch statistics gathered at the older weights never
    reach the model that is trained; and what a pass assigns to the modules is undone.

    Args:
        model: whose parameters and buffers are meant.
        passes: what passes go through, if it is a wrapper around the model.

    Attributes:
        values: of all parameters, by name.
    """

    def __init__(self, model: Module, passes: Module | None = None) -> None:
        self.model = model
        self.passes = model if passes is None else passes
        self.values: dict[str, Tensor] = {}
        self.trained: set[str] = set()
        self.buffers: Buffers = {}
        self.move_here()

    @property
    def parameters(self) -> dict[str, Tensor]:
        """What was trained when the point was taken, by name."""
        return {name: value for name, value in self.values.items() if name in self.trained}

    def move_here(self) -> None:
        """Take over the present weights and buffers of the model."""
        parameters, copies = dict(self.model.named_parameters()), Copies()
        self.values = {n: copies.of(p, self.values.get(n)) for n, p in parameters.items()}
        self.trained = {n for n, p in parameters.items() if p.requires_grad}
        shared: dict[int, Tensor | None] = {}
        for path, module in self.model.named_modules():
            mine = self.buffers.get(path, {})
            for name, buffer in module._buffers.items():
                if id(buffer) not in shared:
                    shared[id(buffer)] = copies.of(buffer, mine.get(name))
            self.buffers[path] = {name: shared[id(b)] for name, b in module._buffers.items()}
        copies.make()
        # An autocast around the whole step keeps casts of the weights, which are old now.
        torch.clear_autocast_cache()

    @contextmanager
    def lent(self) -> Iterator[dict[str, Parameter]]:
        """Have the model at this point within the block.

        Yields:
            Its parameters by name, with the values of the point.

        Raises:
            RuntimeError: a parameter is no longer there, or of another shape.
        """
        home, present = Bindings(self.model), self._present()
        modules = [(p, m) for p, m in self.model.named_modules() if p in self.buffers]
        borrowed: dict[int, tuple[Tensor, Tensor]] = {}

        def lend(tensor: Tensor, value: Tensor) -> None:
            if id(tensor) not in borrowed:
                borrowed[id(tensor)] = (tensor, tensor.data)
                tensor.data = value

        torch.clear_autocast_cache()
        try:
            for name, parameter in present.items():
                lend(parameter, self.values[name])
            for path, module in modules:
                restore_buffers(module, _lent_buffers(module, self.buffers[path], lend))
            yield present
        finally:
            for path, module in modules:
                held = module._buffers.items()
                self.buffers[path] = {n: None if b is None else b.data for n, b in held}
            for tensor, own in borrowed.values():
                tensor.data = own
                if tensor.grad_fn is not None:  # a buffer that the pass has written to
                    tensor.detach_()
            home.restore()
            torch.clear_autocast_cache()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Ask for losses and gradients, and leave the point's own buffers as they were."""
        kept = {
            path: {name: None if b is None else b.clone() for name, b in buffers.items()}
            for path, buffers in self.buffers.items()
        }
        try:
            yield
        finally:
            self.buffers = kept

    def loss(self, batch: Any, loss_fn: LossFunction) -> Tensor:
        """Loss of a batch at the older weights, without a graph."""
        with self.lent(), torch.no_grad():
            return mean_loss(self.passes, batch, loss_fn)

    def gradient(
        self, batch: Any, loss_fn: LossFunction, scale: LossScale | None = None
    ) -> dict[str, Tensor]:
        """Gradient of a batch's loss at the older weights, by name of what was trained then and is
        trained now.
        """
        with self.lent() as present:
            parameters = {n: present[n] for n in self.parameters if present[n].requires_grad}
            return loss_and_gradient(self.passes, parameters, batch, loss_fn, scale)[1]

    def state_dict(self) -> dict[str, Any]:
        """The weights and buffers of the point, as the model's own state dict has them."""
        with self.lent():
            return self.model.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave; buffers may have got other shapes since.

        Raises:
            RuntimeError: it is not of this model.
        """
        others: dict[str, Tensor] = {}
        with self.lent(), torch.no_grad():
            # Not the tensors themselves: a write to them would count as one to the model's.
            here = {k: t.data for k, t in self.model.state_dict().items() if torch.is_tensor(t)}
            for key, tensor in state.items():
                if key in here and here[key].shape == tensor.shape:
                    here[key].copy_(tensor)
                elif torch.is_tensor(tensor):
                    others[key] = tensor.clone()
        weights = {key for key, _ in self.model.named_parameters(remove_duplicate=False)}
        for key in [key for key in here if key not in state and key in weights] + [*others]:
            path, _, name = key.rpartition(".")
            if key in weights or path not in self.buffers:
                raise RuntimeError(f"the state of the reference point does not fit in {key!r}")
            self.buffers[path][name] = others[key]

    def _present(self) -> dict[str, Parameter]:
        """The model's parameters that the point has values of."""
        there = dict(self.model.named_parameters())
        for name, value in self.values.items():
            if name not in there or there[name].shape != value.shape:
                raise RuntimeError(
                    f"the model's parameter {name} has been removed or replaced by one of another "
                    "shape since the reference point was taken; make a new correction"
                )
            here = there[name]
            if value.dtype != here.dtype or value.device != here.device:
                self.values[name] = value.to(here)
        return {name: there[name] for name in self.values}


class Copies:
    """Copies that are made together."""

    def __init__(self) -> None:
        self.targets: list[Tensor] = []
        self.sources: list[Tensor] = []

    def of(self, tensor: Tensor | None, into: Tensor | None) -> Tensor | None:
        """What a copy of ``tensor`` will be: where it fits in the place of the last one."""
        if tensor is None:
            return None
        if into is None or not _alike(tensor, into):
            return tensor.detach().clone()
        self.targets.append(into)
        self.sources.append(tensor)
        return into

    def make(self) -> None:
        """Make them."""
        copy_to(self.targets, self.sources)


def _lent_buffers(
    module: Module, values: dict[str, Tensor | None], lend: Any
) -> dict[str, Tensor | None]:
    """What a module is to hold: its own buffer with another value where that is possible, as
    others may hold the same object, else the value.
    """
    present = dict(module._buffers.items())
    held: dict[str, Tensor | None] = {}
    for name, value in values.items():
        buffer = present.get(name)
        fits = buffer is not None and value is not None and not buffer.requires_grad
        if fits and buffer.dtype == value.dtype and buffer.device == value.device:
            lend(buffer, value)
            held[name] = buffer
        else:
            held[name] = value
    return held


def _alike(one: Tensor, other: Tensor) -> bool:
    return (one.shape, one.dtype, one.device) == (other.shape, other.dtype, other.device)
