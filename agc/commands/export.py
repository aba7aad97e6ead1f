"""``agc export``: the weights of a finished cell, or its network, for use elsewhere."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from agc.commands.working import Working


class Format(StrEnum):
    """What can be written."""

    DENSE = "dense"
    CSR = "csr"
    ONNX = "onnx"
    SMALL = "small"


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
            help="dense: a plain state dict; csr: sparse matrices; onnx: the network; small: the "
            "network without its empty channels, for torch.export.load.",
        ),
    ] = Format.DENSE,
    weights: Annotated[
        Which, typer.Option(help="Last epoch, or best on validation.")
    ] = Which.FINAL,
    out: Annotated[Path | None, typer.Option(help="File to write; in the cell's folder.")] = None,
) -> None:
    """Write the weights of a trained cell in a format that others load, and say how large it is.

    A small network runs where torch is, without this package:
    torch.export.load("model.small.pt2").module()(images), for any number of images in [0, 1].
    It gives what the masked network gives in evaluation mode, up to rounding.
    """
    from agc.records.export import export as write

    with Working("", text="the weights are written"):
        found = write(cell, format_.value, weights.value, out)
    size, dense = found["bytes"], found["dense_bytes"]
    typer.echo(found["path"])
    typer.echo(
        f"{size:,} bytes; the dense state dict takes {dense:,} ({size / dense:.2f} of it); "
        f"sparsity {found['sparsity']:.4f}"
    )
    if format_ is Format.SMALL:
        typer.echo(_savings(found))


def _savings(found: dict[str, Any]) -> str:
    """What the channels that went were worth, as text."""
    before, after = found["channels"]
    needed = {node for node in found["whole"].values() if node != "output"}
    lines = [
        f"  {name}: {full} -> {left} channels"
        for name, (full, left) in found["layers"].items()
        if left < full
    ]
    if needed:
        lines.append(f"  kept whole, as these read all channels: {', '.join(sorted(needed))}")
    if before == after:
        return "\n".join([f"no channel is empty: all {before:,} stay", *lines])
    counts = (
        f"{what} {found[key][0]:,.0f} -> {found[key][1]:,.0f} "
        f"({found[key][1] / found[key][0]:.2f} of it)"
        for key, what in (("parameters", "parameters"), ("flops", "FLOPs of an image"))
    )
    title = f"{before - after:,} of {before:,} channels removed; {'; '.join(counts)}"
    return "\n".join([title, *lines])
