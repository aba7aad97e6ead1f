"""Cells of several devices within a grid: jobs ask for as many, and train."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.project import Project

ONE = {"method": "rigl", "sparsity": 0.9}
TWO = {**ONE, "training": {"devices": 2}}


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Project:
    made = Project(tmp_path / "project", repository)
    plain = {"methods": ["rigl"], "objectives": ["standard"], "corrections": ["none"]}
    axes = {"dataset": "digits", "architecture": "resnet8", "objective": "standard"}
    made.grid("both", **plain, include=[{**axes, **TWO, "correction": "none", "seed": 0}])
    return made


@pytest.mark.parametrize("cells_per_job", [1, 42])
def test_a_job_asks_for_the_devices_of_its_cells(project: Project, cells_per_job: int) -> None:
    code, output = project.snakemake(
        "-n", "--cores", "4", "-p", grid="both", device="auto", cells_per_job=cells_per_job
    )
    assert code == 0, output
    jobs = re.findall(r"rule train\w*:.*?(?=\n\n)", output, re.DOTALL)
    assert len(jobs) == 2
    asked = sorted(
        (int((re.search(r"threads: (\d)", job) or ["", "1"])[1]), f"gpu={n}" in job)
        for n, job in zip((1, 2), sorted(jobs, key=lambda job: "threads: 2" in job), strict=True)
    )
    assert asked == [(1, True), (2, True)]
    assert output.count("--device auto --threads 1") == 4, "two trainings and two evaluations"


def test_a_job_trains_a_cell_on_two_devices(project: Project) -> None:
    (cell,) = (cell for cell in project.cells("both").values() if cell.training.devices == 2)
    stamp = f"results/cells/{cell.slug}/.trained"
    code, output = project.snakemake(stamp, grid="both", device="cpu", track=False)
    assert code == 0, output
    log = (project.cell(cell.slug) / "train.log").read_text()
    assert log.count("epoch 2:") == 1, f"both processes wrote:\n{log}"
    assert (project.cell(cell.slug) / "training.json").is_file()
