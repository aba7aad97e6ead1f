"""A joint grid in the workflow: one report, and each cell of its grids once."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.support.project import Project, job_counts


def test_a_joint_grid_is_planned_as_one(tmp_path: Path, repository: Path) -> None:
    project = Project(tmp_path / "project", repository)
    project.grid("core", objectives=["standard"])
    project.grid("more", objectives=["standard"], methods=["rigl", "set"])
    content = {"description": "both", "grids": ["core", "more"]}
    path = project.folder / "workflows" / "grids" / "both.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert set(project.cells("both")) == set(project.cells("core", "more"))
    code, output = project.snakemake("-n", grid="both", cells_per_job=1)
    assert code == 0, output
    counts = job_counts(output)
    assert counts["train"] == len(project.cells("both")) == 6
    assert (counts["plan"], counts["collect"], counts["compare"]) == (1, 1, 1)
