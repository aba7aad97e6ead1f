"""``agc bench``: how fast this machine is."""

from __future__ import annotations

import typer

from agc.commands import bench_data

app = typer.Typer(name="bench", help="How fast this machine is.", no_args_is_help=True)
app.command("data")(bench_data.bench_data)


@app.callback()
def _group() -> None:
    """Keep the name of a command needed while there is but one."""
