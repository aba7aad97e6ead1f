"""timm's pretrained checkpoints, as timm itself loads them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from agc import rng
from agc.errors import UserError, unknown
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


@lru_cache(maxsize=1)
def pretrained(name: str) -> dict[str, Tensor]:
    """The state dict of one of timm's checkpoints, such as ``resnet18.a1_in1k``, on the CPU.

    It is that of the network with the channels and classes that it was trained for.

    Raises:
        UserError: timm has no such checkpoint, or it is neither here nor can be downloaded.
    """
    import timm

    known = timm.list_pretrained()
    if name not in known:
        raise unknown("checkpoint of timm", name, known)
    try:
        with rng.isolated_everywhere(0):
            return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # whatever the network, the hub or the cache says
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(
            f"timm's checkpoint {name!r} cannot be had here ({reason}); download it elsewhere, and "
            "name it as training.start.file"
        ) from error


def content_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values of a state dict, whatever file it is from."""
    found = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
