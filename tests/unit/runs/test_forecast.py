"""Forecasts of cells in their folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from agc.dynamics.kept import Forecast, Settings, read_forecast
from agc.grids.cell import Cell
from agc.machine.device import Machine
from agc.runs.forecast import forecast_cells
from agc.runs.train import CellRun
from tests.conftest import CellMaker

FEW = Settings(images=16, size=64, paths=1)


@pytest.fixture
def cells(tiny_cell: CellMaker) -> tuple[Cell, list[Cell]]:
    """A cell, and three that start from it at other rates."""
    few = {"epochs": 1, "batch_size": 16, "validation": 1437 - 32}
    source = tiny_cell(seed=2, training=few)
    start = {"cell": source.model_dump(mode="json")}
    return source, [
        tiny_cell(training={**few, "start": start, "optimizer": {"lr": rate}})
        for rate in (0.001, 0.002, 0.004)
    ]


def forecasts(cells: list[Cell], folder: Path, anew: bool = False) -> dict[str, Forecast]:
    return {cell.slug: known for cell, known in forecast_cells(cells, folder, FEW, anew)}


def test_a_forecast_waits_for_the_weights_and_is_kept_then(
    cells: tuple[Cell, list[Cell]],
    tmp_path: Path,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, tuned = cells
    for cell in (source, *tuned):
        cell.write(tmp_path / cell.slug)
    found = forecasts([source, *tuned], tmp_path)
    assert "drawn weights" in found[source.slug].refused
    lacking = f"{source.slug}, which is not trained"
    assert all(lacking in found[cell.slug].refused for cell in tuned)
    assert [read_forecast(tmp_path / cell.slug) for cell in tuned] == [None] * 3
    assert read_forecast(tmp_path / source.slug) is not None

    CellRun(source, tmp_path / source.slug, machine).train()
    calls: list[str] = []
    from agc.dynamics import forecast

    linearise = forecast.linearise
    monkeypatch.setattr(
        forecast, "linearise", lambda *args: calls.append("once") or linearise(*args)
    )
    found = forecasts(tuned, tmp_path)
    assert [found[cell.slug].refused for cell in tuned] == [""] * 3
    assert calls == ["once"]
    for cell in tuned:
        assert read_forecast(tmp_path / cell.slug) == found[cell.slug]
    # What is kept is not computed again, unless it is asked for or asked otherwise.
    assert forecasts(tuned, tmp_path) == found
    assert calls == ["once"]
    first = tuned[0].slug
    again = forecasts(tuned[:1], tmp_path, anew=True)
    assert again[first].losses == found[first].losses
    other = Settings(images=16, size=128, paths=1)
    (changed,) = [known for _, known in forecast_cells(tuned[:1], tmp_path, other)]
    assert changed.losses != found[first].losses
    assert len(calls) == 3
    (kept,) = [known for _, known in forecast_cells(tuned[:1], tmp_path)]
    assert kept == changed
    assert len(calls) == 3


def test_nothing_is_written_where_no_cell_is_described(
    cells: tuple[Cell, list[Cell]], tmp_path: Path
) -> None:
    list(forecast_cells(cells[1], tmp_path, FEW))
    assert list(tmp_path.iterdir()) == []
