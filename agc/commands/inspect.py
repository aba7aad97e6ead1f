"""``agc inspect``: what pruning an architecture means, layer by layer, before anything trains."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from agc.commands.common import make_console, parse_settings
from agc.commands.working import Working
from agc.cost.layers import Layer, Totals, measure
from agc.errors import unknown
from agc.sparsity.distributions import DISTRIBUTIONS


def inspect(
    architecture: Annotated[str, typer.Argument(help="Any timm network, or ours.")],
    sparsity: Annotated[float, typer.Option(help="Fraction of zeros, in [0, 1).")] = 0.0,
    distribution: Annotated[
        str, typer.Option(help="How it is spread over layers: erk, er, uniform.")
    ] = "erk",
    image_size: Annotated[int, typer.Option(min=1, help="Height and width of the images.")] = 32,
    channels: Annotated[int, typer.Option(min=1, help="Channels of the images.")] = 3,
    classes: Annotated[int, typer.Option(min=1, help="Number of classes.")] = 10,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Option of the network; may be repeated."),
    ] = None,
    keep_dense: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Weights to leave dense; @first, @last; repeatable."),
    ] = None,
    also_prune: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Further weights to prune; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show an architecture's prunable layers: shape, sparsity, active weights, FLOPs."""
    if distribution not in DISTRIBUTIONS:
        raise unknown("distribution", distribution, DISTRIBUTIONS)
    options = dict(parse_settings(set_))
    image = (channels, image_size, image_size)
    with Working("", text="the network is built and measured"):
        layers, totals = measure(
            architecture,
            options,
            image,
            classes,
            sparsity,
            distribution,
            keep_dense or (),
            also_prune or (),
        )
    if as_json:
        content = {
            "architecture": architecture,
            "options": options,
            "image": image,
            "classes": classes,
            "distribution": distribution,
            "layers": [asdict(layer) for layer in layers],
            "totals": asdict(totals),
        }
        json.dump(content, sys.stdout, indent=1)
        return
    console = make_console()
    title = f"{architecture}, images {'×'.join(map(str, image))}, {classes} classes"
    if sparsity:
        title += f", {distribution} at {100 * sparsity:g} %"
    console.print(_table(title, layers, totals))
    if totals.unpruned:
        named = ", ".join(totals.unpruned)
        console.print(f"The network also multiplies with {named}; --also-prune would take them.")


def _table(title: str, layers: list[Layer], totals: Totals) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", show_edge=False, show_footer=True
    )
    rest = totals.dense_flops - sum(layer.dense_flops for layer in layers)
    columns = (
        ("layer", "prunable\nother parameters\nall"),
        ("shape", ""),
        ("weights", _three(totals.prunable, totals.parameters - totals.prunable)),
        ("sparsity %", f"{100 * totals.sparsity:.2f}"),
        ("active", _three(totals.active, totals.parameters - totals.prunable)),
        ("MFLOPs dense", _three_millions(totals.dense_flops, rest)),
        ("MFLOPs sparse", _three_millions(totals.flops, rest)),
    )
    for heading, footer in columns:
        left = heading in ("layer", "shape")
        table.add_column(
            heading, footer=footer, justify="left" if left else "right", no_wrap=heading != "layer"
        )
    for layer in layers:
        table.add_row(
            layer.name,
            "×".join(map(str, layer.shape)),
            f"{layer.weights:,}",
            f"{100 * layer.sparsity:.2f}",
            f"{layer.active:,}",
            f"{layer.dense_flops / 1e6:,.3f}",
            f"{layer.flops / 1e6:,.3f}",
        )
    return table


def _three(prunable: int, others: int) -> str:
    return f"{prunable:,}\n{others:,}\n{prunable + others:,}"


def _three_millions(everything: float, rest: float) -> str:
    parts = (everything - rest, rest, everything)
    return "\n".join(f"{part / 1e6:,.3f}" for part in parts)
