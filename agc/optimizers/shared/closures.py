"""A closure, which leaves gradients, as a probe, which leaves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from agc import rng
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def repeated(
    closure: Callable[[], Any], streams: rng.Streams, weights: Iterable[Tensor]
) -> Callable[[], Any]:
    """Calls ``closure`` for its loss: with the random numbers that it drew before, and with the
    gradients, and the global generators, as they were afterwards.

    Args:
        closure: clears the gradients, computes the loss, calls ``backward`` and returns the loss.
        streams: from which it drew the first time.
        weights: whose gradients are kept.
    """
    kept = list(weights)

    def probe() -> Any:
        gradients = [weight.grad for weight in kept]
        try:
            for weight in kept:
                weight.grad = None
            with rng.preserved(), torch.enable_grad():
                rng.restore(streams)
                return closure()
        finally:
            for weight, gradient in zip(kept, gradients, strict=True):
                weight.grad = gradient

    return probe
