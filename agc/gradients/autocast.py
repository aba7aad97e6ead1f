"""The precision of a network's passes, by its name in a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from agc.errors import UserError
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


Precision = Literal["float32", "tf32", "bfloat16"]
"""``float32`` rounds every factor and sum to single precision, on every device. ``tf32`` is the
same but for products on a CUDA device, whose factors keep 10 bits behind the point. ``bfloat16`` is
autocast over float32 weights; what it leaves alone is as in ``float32``."""


def refuse_precision(precision: Precision, device: str) -> None:
    """Make sure that a training's precision means something on its device.

    Raises:
        UserError: it is ``tf32``, and the device has no such products.
    """
    if precision == "tf32" and torch.device(device).type != "cuda":
        raise UserError(
            f"training.precision tf32 is for CUDA devices, and this is {device!r}: say float32, or "
            "bfloat16"
        )


def use_products(precision: Precision) -> None:
    """Let products of float32 on CUDA devices round their factors as ``precision`` says.

    The setting is the process's, as backward passes need it too. By torch's own default
    convolutions round to TF32 and matrix products do not.
    """
    rounds = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = rounds
    torch.backends.cudnn.allow_tf32 = rounds


def autocast(images: Tensor, precision: str) -> torch.autocast:
    """What a forward pass of ``images`` runs under, on their device; only ``bfloat16`` changes any.

    Args:
        images: of the pass; they stay as they are.
        precision: ``bfloat16`` casts the operations that gain by it, over float32 weights.
    """
    return torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bfloat16")
