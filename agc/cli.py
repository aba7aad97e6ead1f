"""The command line: ``agc COMMAND --help`` explains each; the commands live in agc/commands."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console

import agc
from agc.commands import (
    axes,
    bench,
    check,
    collect,
    compare,
    data,
    diagnose,
    doctor,
    evaluate,
    export,
    init,
    inspect,
    plan,
    predict,
    readme,
    report,
    status,
    track,
    train,
    tune,
)
from agc.errors import UserError

INTERRUPTED = 130
"""Exit code that typer gives an interrupt (Ctrl-C)."""

app = typer.Typer(
    name="agc",
    help="Benchmark of adaptive gradient correction (AGC) in sparse training.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"agc {agc.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


app.command("init")(init.init)
app.command("list")(axes.list_entries)
app.command("inspect")(inspect.inspect)
app.command("plan")(plan.plan)
app.command("predict")(predict.predict)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("status")(status.status)
app.command("tune")(tune.tune)
app.command("collect")(collect.collect)
app.command("compare")(compare.compare)
app.command("report")(report.report)
app.add_typer(track.app, name="track")
app.add_typer(data.app, name="data")
app.add_typer(bench.app, name="bench")
app.command("diagnose")(diagnose.diagnose)
app.command("export")(export.export)
app.command("check")(check.check)
app.command("readme")(readme.readme)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Entry point: bad input is one line and exit code 2, an interrupt 130."""
    try:
        app()
    except UserError as error:
        Console(stderr=True, soft_wrap=True).print(f"agc: error: {error}", markup=False)
        sys.exit(2)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            Console(stderr=True).print("agc: interrupted; run the same command again to go on")
        raise
