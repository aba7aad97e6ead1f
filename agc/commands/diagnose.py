"""``agc diagnose``: why a cell's correction helps or not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from agc.commands.common import Device, Threads, make_console, wanted_epochs
from agc.commands.working import Working
from agc.grids.cell import Cell, read_cell
from agc.reports.figures.diagnostics import diagnostics_title, write_diagnostics
from agc.reports.gradients import add_cell

if TYPE_CHECKING:
    import pandas as pd

DIGITS = 3
PLACE = ("epoch", "%", "step")
COLUMNS = {
    "coefficient": "c",
    "ratio_used": "r(c)",
    "ratio_one": "r(1)",
    "best_coefficient": "c*",
    "ratio_best": "r(c*)",
    "ratio_layer": "r(tensor)",
    "correlation": "ρ",
    "scale": "s",
    "distance": "distance",
    "pruned_share": "pruned",
    "grown_share": "grown",
    "mask_distance": "masks",
}
LEGEND = (
    "c: in use; r(c) = Var(g - c q) / Var(g), where g is a batch's gradient and q the same batch's"
    " at the snapshot, over active weights; r(1): SVRG; c*: best for all tensors; r(tensor): best"
    " for each; ρ: correlation of g and q; s = sd(q) / sd(g); distance: of the snapshot, relative;"
    " pruned, grown: share of |u - q|² on weights pruned now, or grown since; masks: Hamming"
    " distance."
)


def diagnose(
    cell: Annotated[Path, typer.Argument(metavar="CELL", help="A cell's folder, or cell.json.")],
    epochs: Annotated[
        str | None,
        typer.Option(metavar="1,4,8", help="Epochs to measure in; first, middle and last."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the outcome; `diagnostics` in the cell's.")
    ] = None,
    device: Device = "auto",
    threads: Threads = 1,
    append: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv", help="Put the numbers into this table of several cells, too."
        ),
    ] = None,
    batches: Annotated[
        int, typer.Option(min=2, help="Batches that each variance is estimated from.")
    ] = 24,
) -> None:
    """Train a cell again, in memory, and measure what its gradient correction does.

    Writes diagnostics.csv, .png and .svg, and touches no file of the cell.
    """
    described = cell / "cell.json" if cell.is_dir() else cell
    found = read_cell(described)
    wanted = wanted_epochs(epochs, found)

    from agc.evaluation.diagnostics import diagnose as measure
    from agc.machine.device import prepare_machine
    from agc.runs.start import find_start

    machine = prepare_machine(device, threads)
    start = find_start(found, described.parent.parent)
    state = None if start is None else start.state
    with Working("") as tell:
        tell(0, 0, "the cell trains again, and is measured")
        rows, diverged = measure(found, wanted, batches, machine.device, state)
    out = out or described.parent / "diagnostics"
    console = make_console()
    if rows:
        frame = write_diagnostics(found, rows, out)
        if append is not None:
            add_cell(append, found, frame)
        console.print(_table(found, frame))
        console.print(LEGEND, highlight=False, style="dim")
        console.print(f"{out}/diagnostics.csv, .png, .svg", highlight=False, soft_wrap=True)
    if diverged is not None:
        console.print(f"{found.slug} diverged in epoch {diverged}: nothing after it was measured")


def _table(cell: Cell, frame: pd.DataFrame) -> Table:
    table = Table(
        title=diagnostics_title(cell), title_justify="left", box=None, padding=(0, 1, 0, 0)
    )
    for heading in (*PLACE, *COLUMNS.values()):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in frame.itertuples():
        place = (str(row.epoch), str(row.percent), f"{row.step}/{row.steps}")
        table.add_row(*place, *(_text(getattr(row, name)) for name in COLUMNS))
    return table


def _text(value: Any) -> str:
    if isinstance(value, int):
        return str(value)
    return "–" if value is None or value != value else f"{value:.{DIGITS}f}"
