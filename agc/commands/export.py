"""``agc export``: the weights of a finished cell, for use elsewhere."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """What can be written."""

    DENSE = "dense"
    CSR = "csr"
    ONNX = "onnx"


class Which(StrEnum):
    """Which weights of the cell."""

    FINAL = "final"
    BEST = "best"


def export(
    cell: Annotated[Path, typer.Argument(help="Folder of a trained cell.")],
    format_: Annotated[
        Format,
        typer.Option(
            "--format",
            "-f",
            help="dense: a plain state dict; csr: sparse matrices; onnx: the network.",
        ),
    ] = Format.DENSE,
    weights: Annotated[
        Which, typer.Option(help="Last epoch, or best on validation.")
    ] = Which.FINAL,
    out: Annotated[Path | None, typer.Option(help="File to write; in the cell's folder.")] = None,
) -> None:
    """Write the weights of a trained cell in a format that others load, and say how large it is."""
    from agc.records.export import export as write

    found = write(cell, format_.value, weights.value, out)
    size, dense = found["bytes"], found["dense_bytes"]
    typer.echo(found["path"])
    typer.echo(
        f"{size:,} bytes; the dense state dict takes {dense:,} ({size / dense:.2f} of it); "
        f"sparsity {found['sparsity']:.4f}"
    )
