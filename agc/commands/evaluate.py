"""``agc evaluate``: attacks on trained cells, and their records."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agc.commands.common import Device, Threads, each_cell, parse_settings
from agc.commands.progress import Progress
from agc.errors import UserError, unknown
from agc.grids.cell import Cell, read_cell
from agc.records.done import is_evaluated
from agc.records.record import write_record
from agc.registry import ATTACKS

if TYPE_CHECKING:
    from agc.machine.device import Machine
    from agc.runs.ladder import Plan

LADDER = ("pgd-20", "apgd-ce", "apgd-t")
"""What ``--attacks ladder`` stands for, each on what the ones before have left."""

SETTING = "ATTACK.OPTION=VALUE"


def evaluate(
    cells: Annotated[list[Path], typer.Argument(metavar="CELL...", help="Folders of cells.")],
    attacks: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help=f"Attacks beyond the recipe's PGD (agc list attacks); ladder: {','.join(LADDER)}"
            " with --survivors.",
        ),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            min=1, help="Attack so many test images, the same for every cell, instead of all."
        ),
    ] = None,
    survivors: Annotated[
        bool, typer.Option("--survivors", help="Spare images that an earlier attack has felled.")
    ] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar=SETTING, help="An attack's option, e.g. apgd-t.steps=100"),
    ] = None,
    device: Device = "auto",
    threads: Threads = 1,
) -> None:
    """Attack trained cells and write their records; what is there already is not done again.

    Without --attacks it is the PGD of the cell's recipe alone. Other attacks take the recipe's norm
    and radius, leave one small file each (CELL/attacks), and the worst case over them is taken
    image by image.
    """
    work = [(read_cell(folder / "cell.json"), folder) for folder in cells]
    asked = _asked(attacks, set_ or [])
    ladder = attacks is not None and "ladder" in attacks.split(",")

    @cache
    def machine() -> Machine:
        from agc.machine.device import prepare_machine

        return prepare_machine(device, threads)

    def plan() -> Plan | None:
        from agc.runs.ladder import Plan

        return Plan(asked, images, survivors or ladder) if asked else None

    with Progress([cell for cell, _ in work], by_epoch=False) as progress:

        def one(cell: Cell, folder: Path) -> str:
            if not asked and is_evaluated(folder, cell.slug):
                write_record(folder)
                return "evaluated already, skipped"
            from agc.runs.evaluate import evaluate_cell

            return evaluate_cell(folder, machine(), plan(), progress.text)

        each_cell(work, one, progress.cell)


def _asked(attacks: str | None, settings: list[str]) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Attacks by name in the order given, with their options.

    Raises:
        UserError: an unknown attack or option, or a setting of an attack that is not asked for.
    """
    names: dict[str, dict[str, Any]] = {}
    for name in attacks.split(",") if attacks is not None else []:
        for one in LADDER if name == "ladder" else (name.strip(),):
            if one not in ATTACKS.names():
                raise unknown("attack", one, [*ATTACKS.names(), "ladder"])
            names[one] = {}
    for key, value in parse_settings(settings, SETTING):
        name, dot, option = key.partition(".")
        if not dot:
            raise UserError(f"--set {key!r}: expected {SETTING}")
        if name not in names:
            raise UserError(f"--set {key!r}: {name!r} is not among --attacks")
        names[name][option] = value
    for name, options in names.items():
        ATTACKS.resolve(name, options)
    return tuple(names.items())
