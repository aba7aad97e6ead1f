"""``agc doctor``: is this machine ready?"""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console

from agc.commands.common import Results


def doctor(results: Results = Path("results")) -> None:
    """Check versions, devices, disk and known traps; exit code 1 if something is broken."""
    from agc.machine.doctor import print_report

    if not print_report(Console(), results):
        raise typer.Exit(1)
