"""A Slurm for the tests of this folder, or a failure that says what it takes to have one."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.node import Node, missing
from tests.slurm.runs import CONFIG, EPOCHS, PROFILE, QUICK, Named, Submit
from tests.support.project import RECIPE, Project, environment

TWO = {"objectives": ["standard"], "methods": ["rigl"]}


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    lacking = missing()
    if lacking:
        pytest.fail("these tests need\n  " + "\n  ".join(lacking), pytrace=False)
    folder = tmp_path_factory.mktemp("slurm")
    folder.chmod(0o755)  # munge wants no folder that others can write to
    node = Node(folder)
    try:
        node.start()
        yield node
    finally:
        node.stop()


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Named:
    made = Named(tmp_path / "project", repository)
    made.name = f"test-{time.time_ns():x}"
    grids(made)
    return made


def grids(project: Project) -> None:
    """Four short cells, and two that take a few seconds each."""
    project.grid("small", **{**TWO, "sparsities": [0.8, 0.9]})
    project.recipe("long", **{**RECIPE, "training": {**RECIPE["training"], "epochs": EPOCHS}})
    project.grid("long", **TWO, recipe="long")


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> dict[str, Path]:
    """Folders of all cells, each trained and attacked in peace on this machine."""
    local = Project(tmp_path_factory.mktemp("alone"), repository)
    grids(local)
    cells = local.cells("small", "long")
    for slug, cell in cells.items():
        cell.write(local.cell(slug))
    folders = [str(local.cell(slug)) for slug in cells]
    for command in ("train", "evaluate"):
        done = local.agc(command, *folders, "--device", "cpu")
        assert done.returncode == 0, done.stderr
    return {slug: local.cell(slug) for slug in cells}


@pytest.fixture
def submit(slurm: Node, project: Named) -> Iterator[Submit]:
    """Starts Snakemake with the profile; a checkpoint after each epoch, so that epochs are few."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, **config: object) -> subprocess.Popen[str]:
        named = f"--slurm-jobname-prefix={project.name}"
        command = project.command(*PROFILE, *QUICK, named, *arguments, **{**CONFIG, **config})
        # The devices of this Slurm are fakes: what asks for one trains on the CPU.
        variables = {"AGC_CHECKPOINT_INTERVAL": "0", "AGC_DEVICES": "cpu:70,cpu:71"}
        started.append(
            subprocess.Popen(
                command,
                cwd=project.folder,
                env=environment(**variables),
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
    slurm.cancel(project.name)
