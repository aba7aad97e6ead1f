"""Gradients under float16, whose small values vanish unless the loss is scaled."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from agc.gradients.calls import Watch
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

LARGEST = 2.0**16
PATIENCE = 1000
"""Gradients without overflow after which the scale doubles."""


class LossScale:
    """Scales losses for gradients of a correction's own, where the model runs in float16.

    The scale is a power of two of its own, so it needs nothing of the user's GradScaler; it is
    not used, and changes no bit, in float32 and bfloat16. On overflow the backward pass is
    repeated with half the scale.

    Args:
        models: what is called in training, and in passes beside the step if that is another.
    """

    def __init__(self, *models: Module) -> None:
        self.half = False
        """Whether the last forward pass ran in float16: by autocast, or by its parameters."""
        self.scale = LARGEST
        self.successes = 0
        self.watch = Watch(models, before=self._look)

    def _look(self, module: Module, args: tuple[Any, ...]) -> None:
        first = next(module.parameters(), None)
        if first is None:
            return
        kind = first.device.type
        cast = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.float16
        self.half = cast or first.dtype == torch.float16

    def gradient(self, loss: Tensor, parameters: dict[str, Any]) -> dict[str, Tensor]:
        """Gradient of ``loss`` by parameter name, in float32 where the parameter is float16."""
        self.watch.renew()
        if not self.half:
            return gradient_of(loss, parameters)
        while True:
            scaled = gradient_of(loss.float() * self.scale, parameters, retain_graph=True)
            if finite(scaled.values()) or self.scale <= 1:
                break
            self.scale, self.successes = self.scale / 2, 0
        found = {
            name: g.to(torch.promote_types(g.dtype, torch.float32)) / self.scale
            for name, g in scaled.items()
        }
        self.successes += 1
        if self.successes % PATIENCE == 0:
            self.scale = min(2 * self.scale, LARGEST)
        return found

    def overflowed(self, gradients: Iterable[Tensor]) -> bool:
        """Whether float16 made a gradient infinite: a GradScaler leaves such a step out.

        It waits for the device, in float16 alone, as the GradScaler does.
        """
        return self.half and not finite(gradients)


def gradient_of(
    loss: Tensor, parameters: dict[str, Any], retain_graph: bool = False
) -> dict[str, Tensor]:
    """Gradient of ``loss`` by parameter name, zero where it does not reach; ``.grad`` is left.

    Raises:
        ValueError: it reaches no parameter.
    """
    found = torch.autograd.grad(
        loss, list(parameters.values()), retain_graph=retain_graph, allow_unused=True
    )
    if all(gradient is None for gradient in found):
        raise ValueError(
            "the loss does not depend on the model that the loss function was given; "
            "loss_fn(model, batch) must use its first argument"
        )
    return {
        name: torch.zeros_like(parameter) if gradient is None else gradient
        for (name, parameter), gradient in zip(parameters.items(), found, strict=True)
    }


def finite(tensors: Iterable[Tensor]) -> bool:
    """Whether all values are; one wait for the device."""
    flags = [torch.isfinite(tensor).all() for tensor in tensors]
    return not flags or bool(torch.stack([flag.to(flags[0].device) for flag in flags]).all())
