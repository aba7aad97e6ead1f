"""Whether the parameters that were looked up once are still those of the model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.nn import Module, Parameter


class HeldParameters:
    """Parameters that masks, momenta or gradients are kept for, and where they are in the model.

    ``load_state_dict(..., assign=True)``, a new head or a conversion put others in their place;
    what is kept would then be of tensors that no forward pass sees. To look whether that happened
    takes a few dictionary look-ups for each parameter, and nothing of the device.

    Args:
        model: any module.
        parameters: some of its own.
        owner: whose they are, for the error.
    """

    def __init__(self, model: Module, parameters: Iterable[Parameter], owner: str) -> None:
        self.model = model
        self.parameters = list(parameters)
        self.owner = owner
        self.names: dict[int, str] = {}
        self.links: list[tuple[dict[str, Any], str, Any]] = []
        """Holder, name in it, and what it held: modules in modules, parameters in modules."""
        self._find()

    def _find(self) -> None:
        """Note where each parameter is now; one that is nowhere stays out."""
        names = {id(p): name for name, p in self.model.named_parameters()}
        modules = dict(self.model.named_modules(remove_duplicate=False))
        links: dict[tuple[int, str], tuple[dict[str, Any], str, Any]] = {}
        for parameter in self.parameters:
            name = names.get(id(parameter))
            if name is None:
                continue
            self.names[id(parameter)] = name
            path, _, last = name.rpartition(".")
            steps = path.split(".") if path else []
            for depth, step in enumerate(steps):
                holder = modules[".".join(steps[:depth])]._modules
                if isinstance(holder, dict):  # scripted modules make theirs anew each time
                    links[id(holder), step] = (holder, step, holder[step])
            holder = modules[path]._parameters
            if isinstance(holder, dict):
                links[id(holder), last] = (holder, last, parameter)
        self.links = list(links.values())

    def check(self) -> None:
        """Make sure that they are all still there; not to be called within a forward pass, where
        functional calls lend the model other parameters.

        Raises:
            RuntimeError: one is not.
        """
        for holder, name, held in self.links:
            if holder.get(name) is not held:
                break
        else:
            return
        present = {id(parameter) for parameter in self.model.parameters()}
        for parameter in self.parameters:
            if id(parameter) in self.names and id(parameter) not in present:
                raise RuntimeError(
                    f"parameter {self.names[id(parameter)]!r} of the model is another one than "
                    f"that which {self.owner} was made with: make a new {self.owner} (and "
                    "optimizer) for this model, or load weights without assign=True"
                )
        self._find()  # modules around them were replaced, and they stayed
