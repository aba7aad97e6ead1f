"""``agc check``: whether an entry, perhaps a user's own, keeps what is promised for all of them."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console

from agc.registry import METHODS


def check(
    name: Annotated[str, typer.Argument(help="A sparse-training method; see `agc list methods`.")],
) -> None:
    """Run the conformance checks of a sparse-training method.

    Exit code 1 if one fails. The tests of the project run the same checks for every method.
    """
    entry = METHODS[name]
    from agc.conformance.cells import trains_in_cells
    from agc.conformance.methods import CHECKS

    console = Console(highlight=False)
    console.print(f"{name}: {entry.summary}")
    failed = 0
    for title, run in {**CHECKS, "trains_in_cells": trains_in_cells}.items():
        begin = time.perf_counter()
        try:
            run(name)
            verdict, reason = "[green]passed[/]", ""
        except Exception as error:  # whatever a user's method raises is a failed check
            failed += 1
            verdict = "[red]FAILED[/]"
            reason = f"\n  {type(error).__name__}: {error}" if str(error) else f"\n  {error!r}"
        seconds = time.perf_counter() - begin
        console.print(f"{verdict} {title.replace('_', ' ')} ({seconds:.1f} s)", end="")
        console.print(reason, markup=False)
    total = len(CHECKS) + 1
    console.print(f"{total - failed} of {total} checks passed")
    if failed:
        raise typer.Exit(1)
