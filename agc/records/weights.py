"""Weights of a cell on the disk: active values and packed masks, as safetensors.

A masked weight ``x`` is kept as ``values:x``, its active values in row-major order, and ``mask:x``,
one bit a weight; its shape is in the header. Everything else is kept as it is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from agc.errors import UserError
from agc.files import atomic_path

FORMAT = 2
"""Version of the layout."""


def save_weights(
    path: Path, state: Mapping[str, Tensor], masks: Mapping[str, Tensor], slug: str
) -> None:
    """Write a state dict whose masked weights are 0 outside their masks, atomically.

    Args:
        path: of the file.
        state: a model's state dict.
        masks: boolean, by name of the weight.
        slug: of the cell, kept in the header.
    """
    tensors = {n: t.detach().cpu().contiguous() for n, t in state.items() if n not in masks}
    shapes = {}
    for name, mask in masks.items():
        flat = mask.detach().cpu().reshape(-1)
        tensors[f"values:{name}"] = state[name].detach().cpu().reshape(-1)[flat].contiguous()
        tensors[f"mask:{name}"] = pack_bits(flat)
        shapes[name] = list(mask.shape)
    # One entry: safetensors writes several in an order that changes from run to run.
    header = {"agc": json.dumps({"slug": slug, "format": FORMAT, "shapes": shapes})}
    with atomic_path(path) as temporary:
        write_tensors(temporary, tensors, header)


def write_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Write a safetensors file.

    Raises:
        OSError: the disk is full, which the library reports as an error of its own.
    """
    try:
        save_file(tensors, path, metadata=header)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def is_cell_file(path: Path) -> bool:
    """Whether a file has weights as :func:`save_weights` writes them, and not a plain state dict.

    Raises:
        UserError: it is no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            return "agc" in (stored.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be loaded: {str(error).splitlines()[0]}") from error


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The state dict, zeros filled in, and the boolean masks of a file.

    Raises:
        UserError: the file is corrupt, or of another version.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            header = json.loads((stored.metadata() or {}).get("agc", "{}"))
            found = header.get("format")
            if found != FORMAT:
                raise UserError(f"{path} has format {found!r}, this version of agc reads {FORMAT}")
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        state, masks = {}, {}
        for name, shape in header["shapes"].items():
            mask = unpack_bits(tensors.pop(f"mask:{name}"), math.prod(shape))
            values = tensors.pop(f"values:{name}")
            state[name] = torch.zeros(len(mask), dtype=values.dtype).masked_scatter(mask, values)
            state[name] = state[name].reshape(shape)
            masks[name] = mask.reshape(shape)
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} cannot be loaded: {str(error).splitlines()[0]}") from error
    return {**tensors, **state}, masks


def load_weights(model: nn.Module, path: Path) -> dict[str, Tensor]:
    """Load the weights of a cell's file into its model; returns the masks.

    Raises:
        UserError: the file is corrupt or of another network.
    """
    state, masks = read_weights(path)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{path} cannot be loaded: {str(error).splitlines()[0]}") from error
    return masks


def pack_bits(flat: Tensor) -> Tensor:
    """Eight booleans a byte, the first in the highest bit; the last byte is filled with zeros."""
    padded = nn.functional.pad(flat.to(torch.uint8), (0, -len(flat) % 8)).reshape(-1, 8)
    weights = 2 ** torch.arange(7, -1, -1, dtype=torch.uint8)
    return (padded * weights).sum(dim=1, dtype=torch.uint8)


def unpack_bits(packed: Tensor, length: int) -> Tensor:
    """What :func:`pack_bits` packed.

    Raises:
        ValueError: there are not as many bytes as ``length`` bits take.
    """
    if len(packed) != math.ceil(length / 8):
        raise ValueError(f"{len(packed)} bytes of a mask where {length} weights need other")
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8)
    return ((packed[:, None] >> shifts) & 1).reshape(-1)[:length].bool()
