"""Predicting cells in their folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from agc.dynamics.domain import refusal
from agc.dynamics.forecast import Forecaster, network_of
from agc.dynamics.kept import Forecast, Settings, read_forecast, write_forecast
from agc.errors import UserError
from agc.grids.cell import Cell
from agc.runs.start import find_start


def forecast_cells(
    cells: Iterable[Cell], folder: Path, settings: Settings | None = None, anew: bool = False
) -> Iterator[tuple[Cell, Forecast]]:
    """Predict the course of each cell's training loss, and keep it in the cell's folder.

    Cells that begin with the same network come one after another, as they share its derivatives.

    Args:
        cells: any; where nothing can be said of one its forecast tells why.
        folder: of the cells' folders.
        settings: how; None: as it was done, and in the usual way where it was not.
        anew: whether to predict again what is there.

    Yields:
        Each cell and its forecast.
    """
    forecaster = Forecaster(settings or Settings())
    for cell in sorted(cells, key=network_of):
        place = folder / cell.slug
        known = None if anew else read_forecast(place)
        if known is None or settings not in (None, known.settings):
            try:
                found = find_start(cell, folder) if refusal(cell) is None else None
            except UserError as error:  # it may be trained later: nothing is kept
                yield cell, Forecast(cell.slug, refused=str(error), settings=forecaster.settings)
                continue
            known = forecaster.predict(cell, None if found is None else found.state)
            if (place / "cell.json").exists():
                write_forecast(place, known)
        yield cell, known
