from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agc.grids.cell import Cell
from agc.grids.files import GridFile, Reference
from agc.grids.grid import Grid
from agc.planning.declared import units
from agc.planning.prediction import estimate, predict
from agc.planning.seconds import cost
from tests.conftest import CellMaker
from tests.support.timings import ROUND, calibration


def grid(*cells: Cell, reference: Reference | None = None) -> Grid:
    file = GridFile.model_construct(reference=reference)
    return Grid("planted", Path("planted.yaml"), file, cells)


def finish(root: Path, cell: Cell, trained: float, **changes: Any) -> None:
    folder = root / "cells" / cell.slug
    folder.mkdir(parents=True)
    record = {
        "status": "finished",
        "seconds": {"train": trained, "evaluation": 0.0, "total": trained + 30.0},
        "costs": {"units": units(cell)},
        **changes,
    }
    (folder / "record.json").write_text(json.dumps(record))


def test_a_grid_costs_what_its_cells_cost(tiny_cell: CellMaker, tmp_path: Path) -> None:
    cells = [tiny_cell(seed=k, correction=c) for k in (0, 1) for c in ("none", "agc")]
    found = estimate(grid(*cells), tmp_path, calibration(*cells))
    each = [cost(cell, ROUND, "") for cell in cells]
    assert found.cpu_seconds == pytest.approx(sum(one.seconds for one in each))
    assert found.low == pytest.approx(sum(one.low for one in each))
    assert found.high == pytest.approx(sum(one.high for one in each))
    assert found.memory == pytest.approx(max(one.memory for one in each) / 1e6)
    assert found.megabytes == pytest.approx(sum(one.disk for one in each) / 1e6)
    assert found.units == sum(map(units, cells))
    assert found.start == 10.0
    assert found.source == "calibrated here: AMD EPYC, 1 thread"


def test_cells_of_a_row_cost_what_those_that_finished_took(
    tiny_cell: CellMaker, tmp_path: Path
) -> None:
    rows = {c: [tiny_cell(seed=k, correction=c) for k in range(4)] for c in ("none", "agc")}
    cells = [cell for row in rows.values() for cell in row]
    known = predict(cells, tmp_path, calibration(*cells))
    first = known[rows["none"][0].slug]
    for cell, factor in zip(rows["none"], (2.0, 2.5, 4.0), strict=False):
        finish(tmp_path, cell, factor * (first.train + first.evaluation))
    found = predict(cells, tmp_path, calibration(*cells))
    scaled = found[rows["none"][3].slug]
    assert scaled.train == pytest.approx(2.5 * first.train)
    # What a cell took in all has the imports of its process in it, and does not count.
    assert scaled.low <= 2.0 * first.seconds
    assert scaled.high >= 4.0 * first.seconds
    assert scaled.source.endswith("and finished cells")
    assert found[rows["agc"][0].slug] == known[rows["agc"][0].slug]


def test_what_did_not_finish_or_cannot_be_read_tells_nothing(
    tiny_cell: CellMaker, tmp_path: Path
) -> None:
    cells = [tiny_cell(seed=k) for k in range(5)]
    finish(tmp_path, cells[0], 99.0, status="diverged")
    finish(tmp_path, cells[1], 99.0, costs={"units": 0})
    finish(tmp_path, cells[2], 99.0, seconds={})
    finish(tmp_path, cells[3], 99.0)
    (tmp_path / "cells" / cells[3].slug / "record.json").write_text("{")
    found = predict(cells, tmp_path, calibration(*cells))
    assert {one.source for one in found.values()} == {"calibrated here: AMD EPYC, 1 thread"}


def test_without_a_calibration_finished_cells_tell_then_the_reference(
    tiny_cell: CellMaker, tmp_path: Path
) -> None:
    cells = [tiny_cell(seed=k) for k in range(3)]
    assert estimate(grid(*cells), tmp_path).cpu_seconds is None
    reference = Reference(
        machine="some", seconds_per_unit=2.0, seconds_per_cell=5.0, megabytes_per_cell=1.0
    )
    told = estimate(grid(*cells, reference=reference), tmp_path, calibration())
    assert told.cpu_seconds == pytest.approx(2.0 * sum(map(units, cells)) + 15.0)
    assert (told.source, told.low, told.memory) == ("some", None, None)
    finish(tmp_path, cells[0], 6.0)
    found = estimate(grid(*cells, reference=reference), tmp_path)
    assert found.cpu_seconds == pytest.approx(3 * 36.0)
    assert found.source == "1 finished cells here"


def test_a_grid_with_a_kind_that_nobody_timed_is_not_half_predicted(
    tiny_cell: CellMaker, tmp_path: Path
) -> None:
    cells = [tiny_cell(), tiny_cell(objective="pgd-at")]
    assert estimate(grid(*cells), tmp_path, calibration(cells[0])).cpu_seconds is None
    assert list(predict(cells, tmp_path, calibration(cells[0]))) == [cells[0].slug]
