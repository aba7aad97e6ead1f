"""The first plan on a machine: what is not known of it yet is timed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rich.console import Console

from agc.errors import UserError
from agc.grids.cell import Cell
from agc.planning.calibration import (
    Calibration,
    keep_calibration,
    load_calibration,
    this_machine,
)
from agc.planning.kinds import kind

BUSY = 1.2
"""Seconds of the clock for a second of work, above which the machine counts as busy."""


def calibrated(
    cells: Iterable[Cell], wanted: bool | None, device: str, threads: int
) -> Calibration:
    """What is known of the time that cells take here, after the kinds that lack were timed.

    Args:
        cells: of all kinds that are to be known.
        wanted: whether to time all of them anew, or none; None: those that are not known.
        device: as ``agc train`` takes it.
        threads: of CPU work.
    """
    told = this_machine(device, threads)
    known = load_calibration(told)
    kinds = {kind(cell): cell for cell in cells}
    if not wanted:
        kinds = {name: cell for name, cell in kinds.items() if name not in known.timings}
    if not kinds or wanted is False:
        return known

    from agc.benchmarks.step_speed import calibrate
    from agc.machine.device import prepare_machine

    console = Console(stderr=True, soft_wrap=True)
    machine = prepare_machine(device, threads)
    found, reasons = calibrate(
        kinds.values(),
        machine,
        told,
        lambda what: console.print(f"timing on {machine.name}: {what}", highlight=False),
    )
    for name, reason in reasons.items():
        what = f"not timed: {kinds[name].slug} and its like: {reason}"
        console.print(what, highlight=False, markup=False)
    load = max((timing.load for timing in found.timings.values()), default=1.0)
    if load > BUSY:
        console.print(
            f"the machine is busy: a second of work took {load:.1f} s of the clock; predictions "
            "are of the work",
            highlight=False,
        )
    if not found.timings:
        return known
    try:
        keep_calibration(found)
    except UserError as error:
        console.print(f"the times are not kept: {error}", highlight=False, markup=False)
    return replace(found, timings={**known.timings, **found.timings})
