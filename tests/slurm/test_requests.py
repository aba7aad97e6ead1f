"""What jobs ask Slurm for: that of the rules' resources and of the profile."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.slurm.node import Node
from tests.slurm.runs import CONFIG, PROFILE, Named, Submit, finish, trainers, wait


def test_two_jobs_at_once_have_what_the_rules_ask_for_and_a_gpu_each(
    slurm: Node, project: Named, submit: Submit
) -> None:
    process = submit(grid="long", cells_per_job=1, evaluations_per_job=2, train_minutes=7)
    visible: dict[int, str] = {}

    def both_began() -> bool:
        for training in set(trainers(project)) - set(visible):
            os.kill(training, signal.SIGSTOP)
            visible[training] = variables(training)["CUDA_VISIBLE_DEVICES"]
        return len(visible) == 2

    wait(both_began, process)
    asked = [slurm.described(job) for job in slurm.jobs(project.name)]
    for training in visible:
        os.kill(training, signal.SIGCONT)
    code, output = finish(process)
    assert code == 0, output
    assert sorted(visible.values()) == ["0", "1"]
    assert len(asked) == 2
    for job in asked:
        assert job["Partition"] == "gpu"
        assert job["TimeLimit"] == "00:07:00"
        assert job["Requeue"] == "1"
        assert "cpu=1,mem=2000M" in job["TRES"]
        assert job["TresPerJob"] == "gres:gpu:1"


def test_the_command_of_a_job_names_account_and_partition_of_the_profile(
    project: Named, tmp_path: Path
) -> None:
    profile = project.folder / "workflows" / "profiles" / "slurm" / "config.yaml"
    text = profile.read_text(encoding="utf-8")
    edited = text.replace("slurm_partition: gpu", "slurm_partition: long")
    edited = edited.replace("# slurm_account: project", "slurm_account: physics")
    profile.write_text(edited, encoding="utf-8")
    asked = submitted(project, tmp_path, train_minutes=17)
    for part in (
        "-A physics",
        "-p long",
        "-t 17",
        "--mem 2000",
        "--cpus-per-task=1",
        "--gpus=1",
        "--requeue",
        "--signal=TERM@120",
    ):
        assert f" {part} " in asked


def test_cells_that_train_on_the_cpu_wait_for_no_gpu(project: Named, tmp_path: Path) -> None:
    asked = submitted(project, tmp_path, device="cpu")
    assert " --gpus" not in asked
    assert " -p gpu " in asked


def submitted(project: Named, folder: Path, **config: object) -> str:
    """Arguments of ``sbatch`` for the one job of training.

    Accounts take a database, which the Slurm of these tests has not: commands that stand for it.
    """
    given = folder / "given"
    commands = {"sbatch": f"printf '%s ' \"$@\" > '{given}'; exit 1", "sacctmgr": "echo physics"}
    for name, script in commands.items():
        path = folder / "commands" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
    code, output = project.snakemake(
        *PROFILE,
        "--retries=0",
        variables={"PATH": f"{folder / 'commands'}:{os.environ['PATH']}"},
        **{**CONFIG, "grid": "small", "cells_per_job": 4, **config},
    )
    assert code == 1, output
    return given.read_text(encoding="utf-8")


def variables(process: int) -> dict[str, str]:
    """The environment of a process."""
    entries = Path(f"/proc/{process}/environ").read_bytes().decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)
