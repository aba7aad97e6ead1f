"""``agc check``: whether an entry, perhaps a user's own, keeps what is promised for all of them."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from agc.errors import UserError, unknown
from agc.grids.axes import AXES
from agc.registry import ATTACKS, COMPRESSORS, Registry

REGISTRIES = {axis.name: axis.registry for axis in AXES.values()}
REGISTRIES |= {"attack": ATTACKS, "compressor": COMPRESSORS}

Axis = StrEnum("Axis", [(name.upper(), name) for name in REGISTRIES])
"""What can be checked."""


def check(
    name: Annotated[str, typer.Argument(help="An entry of any axis; see `agc list`.")],
    axis: Annotated[
        Axis | None, typer.Option(help="Its axis, where two have an entry of that name.")
    ] = None,
) -> None:
    """Run the conformance checks of an entry: a method, a correction, a data set or another.

    Exit code 1 if one fails. The tests of the project run the same checks for every entry.
    """
    registry = _registry_of(name, axis)
    entry = registry[name]
    from agc.conformance.checks import DoesNotApply, checks

    console = Console(highlight=False)
    console.print(f"{registry.kind} {name}: {entry.summary}", markup=False)
    passed = left_out = 0
    found = checks(registry)
    for title, run in found.items():
        begin = time.perf_counter()
        reason = ""
        try:
            run(name)
            verdict = "[green]passed[/]"
            passed += 1
        except DoesNotApply as why:
            verdict, reason = "[yellow]left out[/]", f"\n  {why}"
            left_out += 1
        except Exception as error:  # whatever a user's entry raises is a failed check
            verdict = "[red]FAILED[/]"
            reason = f"\n  {type(error).__name__}: {error}" if str(error) else f"\n  {error!r}"
        seconds = time.perf_counter() - begin
        console.print(f"{verdict} {title.replace('_', ' ')} ({seconds:.1f} s)", end="")
        console.print(reason, markup=False)
    asked = len(found) - left_out
    console.print(f"{passed} of {asked} checks passed", end="")
    console.print(f", {left_out} left out" if left_out else "")
    if passed < asked:
        raise typer.Exit(1)


def _registry_of(name: str, axis: Axis | None) -> Registry:
    """The axis that has an entry of that name.

    Raises:
        UserError: none has, or several have and none of them was asked for.
    """
    if axis is not None:
        return REGISTRIES[axis]
    own = [registry for registry in REGISTRIES.values() if name in registry.names()]
    found = own or [r for r in REGISTRIES.values() if name in r.library_names()]
    if not found:
        every = {entry for registry in REGISTRIES.values() for entry in registry.names()}
        raise unknown("entry", name, every)
    if len(found) > 1:
        kinds = [registry.kind for registry in found]
        raise UserError(
            f"{name!r} is a name on several axes ({', '.join(kinds)}): choose by --axis"
        )
    return found[0]
