"""Cells that start from another one's weights are trained after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agc.files import read_json
from tests.support.project import RECIPE, Project


@pytest.mark.parametrize("cells_per_job", [1, 8])
def test_a_grid_trains_what_others_start_from_first(
    tmp_path: Path, repository: Path, cells_per_job: int
) -> None:
    project = Project(tmp_path / "project", repository)
    start = {"cell": {"recipe": "tiny"}, "head": "new"}
    project.recipe("tuned", **{**RECIPE, "training": {**RECIPE["training"], "start": start}})
    plain = {"recipe": "tuned", "objectives": ["standard"], "methods": ["dense"]}
    project.grid("tuned", **plain, corrections=["none"])
    cells = project.cells("tuned")
    assert len(cells) == 2
    code, output = project.snakemake(grid="tuned", track=False, cells_per_job=cells_per_job)
    assert code == 0, output
    (tuned,) = [cell for cell in cells.values() if cell.source is not None]
    assert tuned.source.slug in cells
    record = read_json(project.cell(tuned.slug) / "record.json")
    assert len(record["provenance"]["start"]) == 64
