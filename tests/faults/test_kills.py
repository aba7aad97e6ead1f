"""SIGKILL and SIGTERM at random moments; ``FAULT_MOMENTS`` says how many, ``KILL_SEED`` which."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psutil
import pytest

from agc.grids.cell import Cell
from agc.machine.stop import EXIT_CODE
from tests.support.project import Project, environment
from tests.support.trials import left_over, record, trained

MOMENTS = int(os.environ.get("FAULT_MOMENTS", 20))
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
# SIGTERM before the training listens to it ends the process as it ends any other.
ENDS = {signal.SIGKILL: {-signal.SIGKILL}, signal.SIGTERM: {-signal.SIGTERM, EXIT_CODE}}


def strike_training(
    count: int,
    cell: Cell,
    agc: Callable[..., ForkServerProcess],
    moments: random.Random,
    undisturbed: Path,
    root: Path,
) -> None:
    """Hit one training after another, each up to three times, ``count`` times in all."""
    train = ("train", "--checkpoint-interval", 0, "--grace", 0)
    for number in range(2):  # the first of all waits for the server's imports
        folder, begin = root / f"peace {number}" / cell.slug, time.monotonic()
        cell.write(folder)
        agc(*train, folder).join(120)
        length = time.monotonic() - begin
    hits, number = 0, 0
    while hits < count:
        folder, number = root / f"{number}" / cell.slug, number + 1
        cell.write(folder)
        for _ in range(moments.randint(1, 3)):
            chosen = moments.choice(SIGNALS)
            process = agc(*train, folder)
            process.join(moments.uniform(0, length))
            if process.is_alive():
                os.kill(process.pid, chosen)
            process.join(120)
            assert process.exitcode in {0, *ENDS[chosen]}  # 0: it ended at the same moment
            hits += process.exitcode != 0
        last = agc(*train, folder)
        last.join(120)
        assert last.exitcode == 0
        agc("evaluate", folder).join(120)
        assert trained(folder) == trained(undisturbed)
        assert record(folder) == record(undisturbed)
        assert not left_over(folder)
        assert not (folder / "checkpoint.pt").exists()


def test_three_random_moments_of_a_training_change_no_bit(
    cell: Cell,
    agc: Callable[..., ForkServerProcess],
    moments: random.Random,
    undisturbed: Path,
    tmp_path: Path,
) -> None:
    strike_training(3, cell, agc, moments, undisturbed, tmp_path)


@pytest.mark.slow
def test_many_random_moments_of_a_training_change_no_bit(
    cell: Cell,
    agc: Callable[..., ForkServerProcess],
    moments: random.Random,
    undisturbed: Path,
    tmp_path: Path,
) -> None:
    strike_training(MOMENTS, cell, agc, moments, undisturbed, tmp_path)


GRID = {"objectives": ["standard"], "methods": ["rigl"], "recipe": "longer"}
ONE_JOB = {"grid": "two", "cells_per_job": 2, "evaluations_per_job": 2, "track": False}


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Project:
    return longer(Project(tmp_path_factory.mktemp("kills"), repository))


def longer(project: Project) -> Project:
    """A grid of a plain and a corrected cell of a few seconds."""
    recipes = project.folder / "workflows" / "recipes"
    text = (recipes / "tiny.yaml").read_text(encoding="utf-8")
    (recipes / "longer.yaml").write_text(text.replace("epochs: 2", "epochs: 12"), encoding="utf-8")
    project.grid("two", **GRID)
    return project


def run(project: Project) -> None:
    """Do what a user does after any crash, and see that it is enough."""
    assert project.snakemake("--unlock", **ONE_JOB)[0] == 0
    code, output = project.snakemake("--rerun-incomplete", **ONE_JOB)
    assert code == 0, output


def results(project: Project) -> dict[str, tuple[dict[str, bytes], dict]]:
    folders = {slug: project.cell(slug) for slug in project.cells("two")}
    return {slug: (trained(folder), record(folder)) for slug, folder in folders.items()}


@pytest.fixture(scope="module")
def peaceful(workflow: Project) -> tuple[float, dict[str, tuple[dict[str, bytes], dict]]]:
    """How long the workflow takes in peace, in seconds, and what it gives."""
    begin = time.monotonic()
    code, output = workflow.snakemake(**ONE_JOB)
    assert code == 0, output
    return time.monotonic() - begin, results(workflow)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(max(1, MOMENTS // 4)))
@pytest.mark.parametrize("victims", ["snakemake", "both"])
def test_snakemake_struck_at_a_random_moment_loses_nothing(
    victims: str,
    number: int,
    peaceful: tuple[float, dict[str, tuple[dict[str, bytes], dict]]],
    moments: random.Random,
    repository: Path,
    tmp_path: Path,
) -> None:
    length, expected = peaceful
    project = longer(Project(tmp_path / "project", repository))
    chosen = SIGNALS[number % 2]
    running = subprocess.Popen(
        project.command(**ONE_JOB),
        cwd=project.folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        running.wait(moments.uniform(0, length))
    except subprocess.TimeoutExpired:
        children = psutil.Process(running.pid).children(recursive=True)
        os.kill(running.pid, chosen) if victims == "snakemake" else os.killpg(running.pid, chosen)
        running.wait(300)
        # An orphan may hold a cell; the user is told so, and waits for it.
        assert not psutil.wait_procs(children, 300)[1]
    run(project)
    assert results(project) == expected
    assert (project.folder / "reports" / "two" / "comparison.csv").exists()
    assert not [path for slug in expected for path in left_over(project.cell(slug))]


@pytest.mark.slow
def test_of_two_workflows_at_once_one_works_and_the_other_says_so(
    peaceful: tuple[float, dict[str, tuple[dict[str, bytes], dict]]],
    repository: Path,
    tmp_path: Path,
) -> None:
    project = longer(Project(tmp_path / "project", repository))
    first = subprocess.Popen(
        project.command(**ONE_JOB),
        cwd=project.folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    logs = [project.cell(slug) / "train.log" for slug in project.cells("two")]
    while not any(log.exists() for log in logs):
        assert first.poll() is None
        time.sleep(0.05)
    (training,) = (
        child
        for child in psutil.Process(first.pid).children(recursive=True)
        if "train" in child.cmdline()
    )
    training.suspend()  # so that the first is still at work, however slow the second starts
    code, output = project.snakemake(**ONE_JOB)
    training.resume()
    assert code == 1
    assert "LockException" in output or "cannot be locked" in output
    assert first.wait(300) == 0
    assert results(project) == peaceful[1]
