"""A network that begins with given weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from agc.errors import UserError

OWN = ("mean", "std")
"""Of the network's state, what is the data set's: images are normalised by its own statistics."""

PREFIX = "net."
"""Of the names of a network's weights within the classifier that normalises images."""


def begin_at(model: nn.Module, state: Mapping[str, Tensor], new_head: bool, slug: str) -> None:
    """Give a network the weights of a state dict, all but those that it has of its data set.

    Args:
        model: an :class:`agc.architectures.base.Classifier`.
        state: with or without the names' prefix.
        new_head: leave the last layer as it is.
        slug: of the cell, for messages.

    Raises:
        UserError: a weight is missing or has another shape, or there are others.
    """
    given = dict(state)
    if not any(name.startswith(PREFIX) for name in given):
        given = {f"{PREFIX}{name}": tensor for name, tensor in given.items()}
    head = head_names(model)
    if new_head and not head:
        raise UserError(f"{slug}: start.head = new, but its network does not tell its last layer")
    left = {*OWN, *(head if new_head else ())}
    wanted = {name: own for name, own in model.state_dict().items() if name not in left}
    given = {name: tensor for name, tensor in given.items() if name not in left}
    for name, own in wanted.items():
        if name not in given:
            raise UserError(f"{slug}: the weights that it starts from lack {name}")
        if given[name].shape != own.shape:
            hint = "; start.head: new begins with another last layer" if name in head else ""
            raise UserError(
                f"{slug}: {name} has shape {tuple(own.shape)}, and {tuple(given[name].shape)} in "
                f"the weights that it starts from{hint}"
            )
    for name in given:
        if name not in wanted:
            raise UserError(f"{slug}: the weights that it starts from have {name}, which it lacks")
    with torch.no_grad():
        for name, own in model.state_dict().items():
            if name in wanted:
                own.copy_(given[name])


def head_names(model: nn.Module) -> set[str]:
    """Names, in the state dict, of the last layer's weights; empty if the network tells none."""
    net = getattr(model, "net", model)
    if not hasattr(net, "get_classifier"):
        return set()
    last = net.get_classifier()
    heads = last if isinstance(last, tuple | list) else (last,)
    own = {id(p) for head in heads if isinstance(head, nn.Module) for p in head.parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in own}
