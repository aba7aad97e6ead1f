"""Finding the weights that a cell starts from, and making sure that they are the ones."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from safetensors.torch import load_file
from torch import Tensor

from agc.architectures.shared.pretrained import content_digest, pretrained
from agc.errors import UserError
from agc.grids.cell import Cell
from agc.grids.start import file_digest
from agc.records.done import is_trained
from agc.records.weights import is_cell_file, read_weights


class Found(NamedTuple):
    """Weights to start from, and what they are: a digest of their content."""

    state: dict[str, Tensor]
    digest: str


def find_start(cell: Cell, cells: Path) -> Found | None:
    """The weights that a cell starts from; None if it starts from those that its seed draws.

    Args:
        cell: any.
        cells: folder of the cells' folders, where that of another cell is.

    Raises:
        UserError: they are not there, cannot be read, or are others than when the cell was planned.
    """
    start, source = cell.training.start, cell.source
    if start is None:
        return None
    if source is not None:
        folder = cells / source.slug
        if not is_trained(folder, source.slug):
            raise UserError(
                f"{cell.slug} starts from the weights of {source.slug}, which is not trained: "
                f"there is no whole training.json in {folder}"
            )
        state, _ = read_weights(folder / "model.safetensors")
        return Found(state, content_digest(state))
    if start.timm is not None:
        state = pretrained(start.timm)
        _compare(cell, content_digest(state), f"timm's checkpoint {start.timm!r}")
        return Found(state, str(start.digest))
    path = Path(str(start.file))
    _compare(cell, file_digest(path), f"start.file {path}")
    state = read_weights(path)[0] if is_cell_file(path) else load_file(path)
    return Found(state, str(start.digest))


def _compare(cell: Cell, found: str, what: str) -> None:
    start = cell.training.start
    if start is not None and found != start.digest:
        raise UserError(
            f"{what} has another content than when {cell.slug} was planned: SHA-256 {found}, not "
            f"{start.digest}"
        )
