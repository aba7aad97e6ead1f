"""Real jobs of a real Slurm: a grid, and one whose job is cancelled."""

from __future__ import annotations

from pathlib import Path

from tests.slurm.node import Node
from tests.slurm.runs import Named, Submit, finish, logs, wait
from tests.support.trials import record, trained


def test_a_grid_goes_through_slurm_with_cells_that_share_jobs(
    slurm: Node, project: Named, submit: Submit, alone: dict[str, Path]
) -> None:
    code, output = finish(submit(grid="small", cells_per_job=2, evaluations_per_job=4))
    assert code == 0, output
    # Four cells are two jobs of training and one of attacks.
    assert slurm.states(project.name) == ["COMPLETED"] * 3
    for slug in project.cells("small"):
        assert trained(project.cell(slug)) == trained(alone[slug])
        assert record(project.cell(slug)) == record(alone[slug])
    assert (project.folder / "reports" / "small" / "comparison.csv").exists()


def test_a_cancelled_job_fails_the_run_and_the_next_run_completes_it_bit_by_bit(
    slurm: Node, project: Named, submit: Submit, alone: dict[str, Path]
) -> None:
    settings = {"grid": "long", "cells_per_job": 2, "evaluations_per_job": 2, "device": "cpu"}
    process = submit("--retries=0", **settings)
    wait(lambda: "epoch 3:" in logs(project), process)
    for job in slurm.jobs(project.name):
        slurm.ask("scancel", str(job))
    code, output = finish(process)
    assert code == 1, output
    assert slurm.states(project.name) == ["CANCELLED"]
    cells = project.cells("long")
    assert not all((project.cell(slug) / "training.json").exists() for slug in cells)
    code, output = finish(submit("--retries=0", **settings))
    assert code == 0, output
    assert "resumed after epoch" in logs(project)
    for slug in cells:
        assert trained(project.cell(slug)) == trained(alone[slug])
        assert record(project.cell(slug)) == record(alone[slug])
