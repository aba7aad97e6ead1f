"""Snakemake that submits to Slurm, and the processes that come of it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.project import Project

PROFILE = ("--workflow-profile", "workflows/profiles/slurm")
QUICK = (
    "--slurm-status-command=squeue",  # this Slurm has no database
    "--slurm-init-seconds-before-status-checks=2",
    "--seconds-between-status-checks=2",
    "--latency-wait=20",
)
CONFIG = {"track": False, "memory_mb": 2000, "evaluate_minutes": 30, "train_minutes": 30}
EPOCHS = 60  # a few seconds: nothing has ended when the third is seen

Submit = Callable[..., subprocess.Popen[str]]


class Named(Project):
    """A project whose jobs can be told from others'."""

    name = ""


def finish(process: subprocess.Popen[str], seconds: float = 1800) -> tuple[int, str]:
    """Exit code of Snakemake and all that it printed."""
    output, _ = process.communicate(timeout=seconds)
    return process.returncode, output


def wait(met: Callable[[], object], process: subprocess.Popen[str], seconds: float = 600) -> None:
    """Wait for something that the running Snakemake has to bring about."""
    deadline = time.monotonic() + seconds
    while not met():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"it did not come to this: {process.communicate()[0]}")
        time.sleep(0.05)


def logs(project: Project) -> str:
    """What all cells' trainings have noted, one cell after the other."""
    paths = sorted((project.folder / "results" / "cells").glob("*/train.log"))
    return "".join(path.read_text(encoding="utf-8") for path in paths)


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


def pause(project: Project, process: subprocess.Popen[str]) -> None:
    """Stop the one training in its middle, for one that takes long without the seconds of such."""
    wait(lambda: "epoch 3:" in logs(project), process)
    (training,) = trainers(project)
    os.kill(training, signal.SIGSTOP)
