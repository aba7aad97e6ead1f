"""The derivatives of a network's outputs by its weights, as they are or projected at random."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call, vjp, vmap
from torch.nn.modules.batchnorm import _BatchNorm

from agc.dynamics.linear import LinearModel
from agc.gradients.modes import kept_modes

HELD = 2_500_000
"""Derivatives that are held in memory together, before they are projected."""

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Projection:
    """A random map S of weights to fewer numbers, E[S Sᵀ] = 1.

    Each weight goes with a random sign into one of the numbers, drawn at random (feature hashing,
    Weinberger et al., ICML 2009): a product with it costs an addition a weight. It is that of the
    active weights: a pruned one goes nowhere.

    Attributes:
        place: of each active weight, [P].
        sign: +1 or -1, [P].
        size: of the projection.
        active: whether a weight counts, [all weights].
    """

    place: Tensor
    sign: Tensor
    size: int
    active: Tensor

    def __call__(self, rows: Tensor) -> Tensor:
        """Rows [n, all weights] to [n, size]."""
        kept = rows[:, self.active] * self.sign
        return kept.new_zeros(len(rows), self.size).index_add_(1, self.place, kept)


def project(active: Tensor, size: int, generator: Generator) -> Projection:
    """Draw a projection.

    Args:
        active: bool [all weights].
        size: what weights are projected to.
        generator: on the CPU.
    """
    count = int(active.sum())
    place = torch.randint(size, (count,), generator=generator)
    sign = 2.0 * torch.randint(2, (count,), generator=generator) - 1
    return Projection(place, sign.to(torch.get_default_dtype()), size, active)


def unprojected(active: Tensor) -> Projection:
    """All active weights as they are."""
    count = int(active.sum())
    return Projection(torch.arange(count), torch.ones(count), count, active)


def active_weights(model: nn.Module, masks: Mapping[str, Tensor]) -> Tensor:
    """Which of a network's weights are trained and not pruned, bool [all weights].

    Args:
        model: any.
        masks: boolean, by name of the weight; a weight without one is active.
    """
    parts = [
        masks[name].flatten().cpu()
        if name in masks
        else torch.full((weight.numel(),), weight.requires_grad)
        for name, weight in model.named_parameters()
    ]
    return torch.cat(parts)


def linearise(model: nn.Module, images: Tensor, projection: Projection, group: int) -> LinearModel:
    """A network in training, near its present weights.

    Images of a group are normalised by their own statistics, whose derivatives count: without them
    a network with batch normalisation learns several times too fast.

    Args:
        model: images to logits, in training mode for this; it is left as it was.
        images: [N, ...].
        projection: of its weights.
        group: images of a pass; 1 is as good where no layer mixes images.
    """
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    buffers = {name: buffer.detach() for name, buffer in model.named_buffers()}
    outputs, features = [], []
    with kept_modes(model):
        model.train()
        for part in images.split(group):
            logits, pull = vjp(partial(_logits, model, buffers, part), weights)
            outputs.append(logits.detach())
            rows = _rows(pull, logits, projection)
            features.append(rows.reshape(*logits.shape, projection.size))
    flat = torch.cat([weight.flatten() for weight in weights.values()])
    return LinearModel(torch.cat(outputs), torch.cat(features), projection(flat[None])[0])


def mixes_images(model: nn.Module) -> bool:
    """Whether an image's output depends on the other images of its batch, in training."""
    return any(isinstance(module, _BatchNorm) for module in model.modules())


def _logits(model: nn.Module, buffers: Tensors, images: Tensor, weights: Tensors) -> Tensor:
    # Running statistics are updated in place, within what is derived: these are copies.
    own = {name: buffer.clone() for name, buffer in buffers.items()}
    return functional_call(model, ({**weights}, own), (images,))


def _rows(pull: Callable[..., Any], logits: Tensor, projection: Projection) -> Tensor:
    """The derivatives of each logit by the weights, projected, [logits, size]."""
    each = torch.eye(logits.numel(), dtype=logits.dtype)
    rows = []
    for part in each.split(max(1, HELD // len(projection.active))):
        (found,) = vmap(pull)(part.reshape(len(part), *logits.shape))
        rows.append(projection(torch.cat([g.flatten(1) for g in found.values()], dim=1)))
    return torch.cat(rows)
