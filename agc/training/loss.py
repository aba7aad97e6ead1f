"""The differentiable part of a step: precision, and the noise of random layers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from agc import rng
from agc.datasets.shared.loader import Batch
from agc.gradients.autocast import autocast
from agc.gradients.gradient import preserved_buffers
from agc.objectives.base import Objective
from agc.quantization.base import Quantization

LossFunction = Callable[[nn.Module, Batch], Tensor]


def draws_noise(model: nn.Module, images: Tensor) -> bool:
    """Whether a forward pass in training mode draws random numbers (dropout of any kind).

    Asked of the network itself, as many call the functional dropout and have no module for it.
    Buffers and random streams are left as they were.
    """

    def streams() -> list[Tensor]:
        devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
        return [torch.get_rng_state(), *devices]

    with rng.preserved(), preserved_buffers(model), torch.no_grad():
        before = streams()
        model(images)
        return any(not torch.equal(a, b) for a, b in zip(before, streams(), strict=True))


def loss_function(
    objective: Objective,
    precision: str,
    noisy: bool,
    quantization: Quantization | None = None,
    around: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> LossFunction:
    """``(model, batch) -> mean loss`` that a correction can replay at other weights.

    Args:
        objective: what is minimised.
        precision: ``bfloat16`` runs the network under autocast.
        noisy: whether the network draws random numbers. They come from the batch's own seed then,
            so that the same batch drops the same units in every pass over it, and no global
            random stream moves.
        quantization: of the network, which may add to the loss.
        around: makes what the network is called within.
    """
    loss = objective.loss if quantization is None else partial(quantization.loss, objective.loss)

    def loss_fn(network: nn.Module, batch: Batch) -> Tensor:
        half = autocast(batch.images, precision)
        with half, rng.isolated(batch.noise) if noisy else nullcontext(), around():
            return loss(network, batch).float()

    return loss_fn
