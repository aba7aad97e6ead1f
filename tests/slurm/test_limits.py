"""Real jobs of a real Slurm that come near their time limit, reach it, or have to make way.

The training is stopped in its middle, and its limit moved there, as Slurm counts in minutes. Slurm
wakes the processes that it signals.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.slurm.node import Node
from tests.slurm.runs import Named, Submit, finish, logs, pause, wait
from tests.support.trials import record, trained

SETTINGS = {"grid": "long", "cells_per_job": 2, "evaluations_per_job": 2, "device": "cpu"}


def test_a_warned_job_leaves_a_checkpoint_and_the_next_one_goes_on_from_it(
    slurm: Node, project: Named, submit: Submit, alone: dict[str, Path]
) -> None:
    process = submit(**SETTINGS)
    pause(project, process)
    (job,) = slurm.jobs(project.name)
    # The profile asks for the warning two minutes before the limit: now.
    slurm.limit(job, minutes=2)
    code, output = finish(process)
    assert code == 0, output
    # It ended by itself, before its time was over, with a code that makes Snakemake submit anew.
    assert slurm.states(project.name) == ["FAILED", "COMPLETED", "COMPLETED"]
    found = re.search(r"stopped by SIGTERM after epoch (\d+)", logs(project))
    assert found is not None
    assert f"resumed after epoch {found[1]}\n" in logs(project)
    the_same(project, alone)


def test_a_job_at_its_limit_is_submitted_anew_and_goes_on_from_its_checkpoint(
    slurm: Node, project: Named, submit: Submit, alone: dict[str, Path]
) -> None:
    # And no warning before it.
    process = submit("--default-resources", "slurm_partition=gpu", **SETTINGS)
    pause(project, process)
    (job,) = slurm.jobs(project.name)
    slurm.limit(job, minutes=1)
    code, output = finish(process)
    assert code == 0, output
    assert slurm.states(project.name) == ["TIMEOUT", "COMPLETED", "COMPLETED"]
    assert "resumed after epoch" in logs(project)
    the_same(project, alone)


def test_a_job_that_slurm_puts_back_into_its_queue_goes_on_there(
    slurm: Node, project: Named, submit: Submit, alone: dict[str, Path]
) -> None:
    process = submit("--retries=0", **SETTINGS)
    wait(lambda: "epoch 3:" in logs(project), process)
    (job,) = slurm.jobs(project.name)
    slurm.ask("scontrol", "requeue", str(job))
    wait(lambda: slurm.described(job).get("Restarts") == "1", process)
    code, output = finish(process)
    assert code == 0, output
    # The same job, not another one of Snakemake's.
    assert slurm.ended(project.name)[-2] == (job, "COMPLETED")
    assert "resumed after epoch" in logs(project)
    the_same(project, alone)


def the_same(project: Named, alone: dict[str, Path]) -> None:
    for slug in project.cells("long"):
        assert trained(project.cell(slug)) == trained(alone[slug])
        assert record(project.cell(slug)) == record(alone[slug])
