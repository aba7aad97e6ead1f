"""``agc bench``: how fast this machine is, and the suite's own parts beside others'."""

from __future__ import annotations

import typer

from agc.commands import bench_attack, bench_data

app = typer.Typer(name="bench", help="How fast this machine is.", no_args_is_help=True)
app.command("attack")(bench_attack.bench_attack)
app.command("data")(bench_data.bench_data)
