"""A 4 x 4 layer with known weights, masks and gradients, for updates worked by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from agc.methods.base import SparseMethod
from agc.registry import METHODS


def grid(text: str) -> Tensor:
    """A matrix from lines of numbers."""
    return torch.tensor([[float(x) for x in line.split()] for line in text.strip().splitlines()])


MASK = grid("""
1 1 0 0
0 1 0 1
1 0 0 0
0 0 1 0""").bool()
"""Six active weights."""

WEIGHT = grid("""
.5 -.1 0 0
0 .7 0 .2
-.3 0 0 0
0 0 .6 0""")

GRADIENT = grid("""
.9 .4 -.1 .8
.2 .9 .3 -.7
.9 .5 .1 .2
.1 .6 .9 .3""")


def four_by_four(name: str, lr: float = 0.0, **options: Any) -> SparseMethod:
    """A method on a layer with ``MASK`` and ``WEIGHT``; its optimizer has a momentum of 0.9."""
    layer = nn.Linear(4, 4, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=lr, momentum=0.9)
    options = {"update_interval": 1, **options}
    known = METHODS.options(name).model_fields
    method = METHODS.create(
        name,
        layer,
        optimizer,
        options={key: value for key, value in options.items() if key in known},
        sparsity=1 - 6 / 16,
        total_steps=options.get("total_steps", 1000),
        seed=options.get("seed", 0),
    )
    with torch.no_grad():
        layer.weight.copy_(WEIGHT)
    method.masks["weight"].copy_(MASK)
    method.explored["weight"].copy_(MASK)
    return method


def step(method: SparseMethod, gradient: Tensor = GRADIENT, loss: float | None = None) -> bool:
    """One training step of the layer with this gradient."""
    with method.updating() as update:
        with method.shown(None, None):
            method.model.weight.grad = gradient.clone()
            method.observe(None if loss is None else torch.tensor(loss))
        method.optimizer.step()
    return update.changed


def momentum(method: SparseMethod) -> Tensor:
    """The optimizer's momentum of the layer."""
    return method.optimizer.state[method.model.weight]["momentum_buffer"]
