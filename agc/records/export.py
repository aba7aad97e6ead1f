"""Weights of a finished cell in formats that others load."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from agc.cost.flops import layer_flops
from agc.errors import UserError
from agc.files import atomic_path
from agc.grids.cell import Cell, read_cell
from agc.quantization.shared.layers import of_float_network, with_float_layers
from agc.records.done import is_trained
from agc.records.weights import load_weights, read_weights, write_tensors
from agc.sparsity.small import remove_channels
from agc.training.build import build_model, load_dataset

Extras = dict[str, Any]
"""What a format has to say beside its file."""


def export_dense(cell: Cell, weights: Path, out: Path) -> Extras:
    """A plain state dict with its zeros, as safetensors, for ``Module.load_state_dict``.

    Of a quantised cell the weights are those that were trained, before rounding.
    """
    state, _ = _float_weights(cell, weights)
    with atomic_path(out) as temporary:
        write_tensors(temporary, _contiguous(state), {"slug": cell.slug})
    return {}


def export_csr(cell: Cell, weights: Path, out: Path) -> Extras:
    """Each masked weight as a sparse matrix, outputs × inputs, as safetensors; of a transposed
    convolution inputs × outputs, as its tensor has them.

    ``x.crow_indices``, ``x.col_indices`` and ``x.values`` are what ``torch.sparse_csr_tensor``
    takes; the shapes before they were flattened to matrices are in the header under ``shapes``.
    """
    state, masks = _float_weights(cell, weights)
    tensors = {name: tensor for name, tensor in state.items() if name not in masks}
    for name, mask in masks.items():
        active = mask.flatten(1)
        rows = active.sum(dim=1)
        tensors[f"{name}.crow_indices"] = nn.functional.pad(rows.cumsum(0), (1, 0)).int()
        tensors[f"{name}.col_indices"] = active.nonzero()[:, 1].int()
        tensors[f"{name}.values"] = state[name].flatten(1)[active]
    shapes = {name: list(mask.shape) for name, mask in masks.items()}
    header = {"slug": cell.slug, "shapes": json.dumps(shapes)}
    with atomic_path(out) as temporary:
        write_tensors(temporary, _contiguous(tensors), header)
    return {}


def export_onnx(cell: Cell, weights: Path, out: Path) -> Extras:
    """The network in evaluation mode, from images in [0, 1] to logits, for any number of images.

    Raises:
        UserError: the packages for it are not installed.
    """
    try:
        import onnx  # noqa: F401  (asked for here, so that its absence is said before any work)
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"ONNX needs {error.name}; install agc[export]") from error
    model, _, images = _load(cell, weights)
    with atomic_path(out) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (images,),
            temporary,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    return {}


def export_small(cell: Cell, weights: Path, out: Path) -> Extras:
    """The network without its empty channels, as a program of ``torch.export``.

    ``torch.export.load(path).module()`` takes images in [0, 1], any number of them, and gives the
    logits of the masked network in evaluation mode; it needs torch alone. Of a quantised cell the
    weights are rounded, and what is multiplied with them is in float32.

    Returns:
        ``layers`` and ``whole`` as in :class:`~agc.sparsity.small.SmallNetwork`, each layer with
        its channels before and after; ``channels``, ``parameters``, ``flops``: before and after.

    Raises:
        UserError: the network cannot be traced.
    """
    model, masks, images = _load(cell, weights)
    model = with_float_layers(model)
    try:
        small = remove_channels(model, masks)
    except ValueError as error:
        raise UserError(f"{cell.architecture.name}: {error}") from error
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(small.network, (images,), dynamic_shapes=shapes)
    file = io.BytesIO()  # torch warns of names that do not end in .pt2
    torch.export.save(program, file)
    with atomic_path(out) as temporary:
        temporary.write_bytes(file.getvalue())
    networks = (model, small.network)
    return {
        "layers": {name: (size, small.after[name]) for name, size in small.before.items()},
        "whole": small.whole,
        "channels": (sum(small.before.values()), sum(small.after.values())),
        "parameters": tuple(sum(p.numel() for p in net.parameters()) for net in networks),
        "flops": tuple(layer_flops(net, images[:1], {}).forward() for net in networks),
    }


def _float_weights(cell: Cell, weights: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """State dict and masks, without what quantised layers have beside those of float ones."""
    state, masks = read_weights(weights)
    if cell.quantization.name != "none":
        state = {key: tensor for key, tensor in state.items() if of_float_network(key)}
    return state, masks


def _load(cell: Cell, weights: Path) -> tuple[nn.Module, dict[str, Tensor], Tensor]:
    """The cell's network in evaluation mode, its masks, and two images."""
    dataset = load_dataset(cell)
    model = build_model(cell, dataset, "cpu")
    masks = load_weights(model, weights)
    return model.eval(), masks, dataset.test.images[:2].float() / 255


FORMATS: dict[str, tuple[str, Callable[[Cell, Path, Path], Extras]]] = {
    "dense": (".dense.safetensors", export_dense),
    "csr": (".csr.safetensors", export_csr),
    "onnx": (".onnx", export_onnx),
    "small": (".small.pt2", export_small),
}
"""Ending of the file, and what writes it."""


def export(
    folder: Path, kind: str, which: str = "final", out: Path | None = None
) -> dict[str, Any]:
    """Write the weights of a trained cell.

    Args:
        folder: the cell's.
        kind: a key of ``FORMATS``.
        which: ``final`` for the last epoch, ``best`` for the best on validation.
        out: the file; beside the cell's own if None.

    Returns:
        ``path``, ``bytes``, ``dense_bytes`` of the same state dict with its zeros, ``sparsity``,
        and what the format has to say.

    Raises:
        UserError: the cell is not trained, has no such weights, a file is not whole, or the
            network does not fit the format.
    """
    cell = read_cell(folder / "cell.json")
    if not is_trained(folder, cell.slug):
        raise UserError(f"{folder}: the cell is not trained (no whole training.json)")
    stem = {"final": "model", "best": "best"}[which]
    weights = folder / f"{stem}.safetensors"
    if not weights.is_file():
        raise UserError(f"{folder}: there are no {which} weights (did the run diverge?)")
    ending, write = FORMATS[kind]
    path = folder / f"{stem}{ending}" if out is None else out
    extras = write(cell, weights, path)
    state, masks = read_weights(weights)
    sizes = sum(mask.numel() for mask in masks.values())
    active = sum(int(mask.sum()) for mask in masks.values())
    return {
        "path": path,
        "bytes": path.stat().st_size,
        "dense_bytes": sum(tensor.nbytes for tensor in state.values()),
        "sparsity": 1 - active / sizes if sizes else 0.0,
        **extras,
    }


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in tensors.items()}
