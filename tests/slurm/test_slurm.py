"""Real jobs of a real Slurm: the grid, a job that is cancelled, a job that reaches its limit."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.slurm.node import Node
from tests.workflow.project import RECIPE, Project, environment

TINY = {"objectives": ["standard"], "methods": ["rigl"]}
PROFILE = ("--workflow-profile", "workflows/profiles/slurm")
QUICK = (
    "--slurm-status-command=squeue",  # this Slurm has no database
    "--slurm-init-seconds-before-status-checks=2",
    "--seconds-between-status-checks=2",
    "--latency-wait=20",
)
CONFIG = {"track": False, "memory_mb": 2000, "evaluate_minutes": 30, "train_minutes": 30}
SAME = ("epochs.csv", "model.safetensors", "best.safetensors")
EPOCHS = 60  # a few seconds: nothing has ended when the third is seen
LIMIT = 6  # minutes: two starts of Snakemake and one of torch have to fit into it


class Named(Project):
    """A project whose jobs can be told from others'."""

    name = ""


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Named:
    made = Named(tmp_path / "project", repository)
    made.name = f"test-{time.time_ns():x}"
    made.grid("small", **TINY)
    made.recipe("long", **{**RECIPE, "training": {**RECIPE["training"], "epochs": EPOCHS}})
    made.grid("long", **TINY, recipe="long")
    return made


@pytest.fixture
def submit(slurm: Node, project: Project) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts Snakemake with the profile; a checkpoint after each epoch, so that epochs are few."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, **config: object) -> subprocess.Popen[str]:
        named = f"--slurm-jobname-prefix={project.name}"
        command = project.command(*PROFILE, *QUICK, named, *arguments, **{**CONFIG, **config})
        started.append(
            subprocess.Popen(
                command,
                cwd=project.folder,
                env=environment(AGC_CHECKPOINT_INTERVAL="0"),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def finish(process: subprocess.Popen[str], seconds: float = 1800) -> tuple[int, str]:
    output, _ = process.communicate(timeout=seconds)
    return process.returncode, output


def wait(met: Callable[[], object], process: subprocess.Popen[str], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"it did not come to this: {process.communicate()[0]}")
        time.sleep(0.05)


def trained_alone(project: Named, folder: Path) -> dict[str, dict[str, bytes]]:
    """The files of the grid ``long``, by one process that nothing disturbs."""
    cells = project.cells("long")
    for slug, cell in cells.items():
        cell.write(folder / slug)
    done = project.agc("train", *(str(folder / slug) for slug in cells), "--device", "cpu")
    assert done.returncode == 0, done.stderr
    return {slug: content(folder / slug) for slug in cells}


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in SAME}


def log(project: Named, slug: str) -> str:
    path = project.cell(slug) / "train.log"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def trainers(project: Project) -> list[int]:
    """Processes of ``agc train`` in the folder of this project."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
                here = (entry / "cwd").readlink() == project.folder
            except OSError:
                continue
            if here and "train" in words and words[1].endswith("/agc"):
                found.append(int(entry.name))
    return found


def test_a_grid_goes_through_slurm_with_what_the_rules_ask_for(
    slurm: Node, project: Named, submit: Callable[..., subprocess.Popen[str]]
) -> None:
    process = submit(grid="small", cells_per_job=2, evaluations_per_job=2, train_minutes=7)
    wait(lambda: slurm.jobs(project.name), process)
    (job,) = slurm.jobs(project.name)
    asked = slurm.described(job)
    code, output = finish(process)
    assert code == 0, output
    assert asked["Partition"] == "gpu"
    assert asked["TimeLimit"] == "00:07:00"
    assert asked["Requeue"] == "1"
    assert "cpu=1,mem=2000M" in asked["TRES"]
    assert asked["TresPerJob"] == "gres:gpu:1"
    # Two cells are one job of training and one of attacks.
    assert slurm.states(project.name) == ["COMPLETED", "COMPLETED"]
    for slug in project.cells("small"):
        assert (project.cell(slug) / "record.json").exists()
    assert (project.folder / "reports" / "small" / "comparison.csv").exists()


def test_a_cancelled_job_fails_the_run_and_the_next_run_completes_it_bit_by_bit(
    slurm: Node, project: Named, submit: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    expected = trained_alone(project, tmp_path / "alone")
    first, second = expected
    settings = {"grid": "long", "cells_per_job": 2, "evaluations_per_job": 2, "device": "cpu"}
    process = submit("--retries=0", **settings)
    wait(lambda: "epoch 3:" in log(project, first) + log(project, second), process)
    for job in slurm.jobs(project.name):
        slurm.ask("scancel", str(job))
    code, output = finish(process)
    assert code == 1, output
    assert slurm.states(project.name) == ["CANCELLED"]
    assert not all((project.cell(slug) / "training.json").exists() for slug in expected)
    code, output = finish(submit("--retries=0", **settings))
    assert code == 0, output
    assert {slug: content(project.cell(slug)) for slug in expected} == expected
    assert "resumed after epoch" in log(project, first) + log(project, second)
    for slug in expected:
        assert (project.cell(slug) / "record.json").exists()


def test_a_job_at_its_time_limit_is_submitted_anew_and_goes_on_from_its_checkpoint(
    slurm: Node, project: Named, submit: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    expected = trained_alone(project, tmp_path / "alone")
    first, second = expected
    process = submit(
        "--default-resources",
        "slurm_partition=gpu",  # and no warning before the limit
        grid="long",
        cells_per_job=2,
        evaluations_per_job=2,
        train_minutes=LIMIT,
        device="cpu",
    )
    wait(lambda: "epoch 3:" in log(project, first) + log(project, second), process)
    # Training that takes longer than its limit, without the seconds of such a training: at the
    # limit Slurm wakes the processes that it ends.
    (training,) = trainers(project)
    os.kill(training, signal.SIGSTOP)
    code, output = finish(process)
    assert code == 0, output
    # A busy machine may need more than one more job for what is left.
    *earlier, trained, attacked = slurm.states(project.name)
    assert (trained, attacked) == ("COMPLETED", "COMPLETED")
    assert earlier
    assert set(earlier) == {"TIMEOUT"}
    assert {slug: content(project.cell(slug)) for slug in expected} == expected
    assert "resumed after epoch" in log(project, first) + log(project, second)
