"""A power cut, an orphan and a broken file in one grid: what was trained is never lost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agc.planning.bundles import bundle
from tests.support.project import Project, environment
from tests.support.waiting import HANG

EPOCHS = 12
GRID = {
    "objectives": ["standard"],
    "methods": ["static", "rigl"],
    "include": [],
    "seeds": 1,
    "recipe": "longer",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Project:
    made = Project(tmp_path_factory.mktemp("faults"), repository)
    recipe = (made.folder / "workflows" / "recipes" / "tiny.yaml").read_text()
    longer = recipe.replace("epochs: 2", f"epochs: {EPOCHS}")
    assert longer != recipe
    (made.folder / "workflows" / "recipes" / "longer.yaml").write_text(longer)
    made.grid("four", **GRID)
    return made


@pytest.fixture(scope="module")
def undisturbed(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, bytes]]:
    """The same cells, trained by the library alone."""
    from agc.machine.device import prepare_machine
    from agc.runs.train import CellRun

    root, machine = tmp_path_factory.mktemp("undisturbed"), prepare_machine("cpu", threads=1)
    for slug, cell in project.cells("four").items():
        assert CellRun(cell, root / slug, machine).train() == "finished"
    return {slug: content(root / slug) for slug in project.cells("four")}


def content(folder: Path) -> dict[str, bytes]:
    names = ("epochs.csv", "model.safetensors", "best.safetensors")
    return {name: (folder / name).read_bytes() for name in names}


def stamps(project: Project) -> list[str]:
    return [f"results/cells/{slug}/.trained" for slug in project.cells("four")]


def wait_for(project: Project, slug: str, line: str, snakemake: subprocess.Popen[bytes]) -> None:
    """Return as soon as the training of a cell tells of ``line``."""
    path, deadline = project.cell(slug) / "train.log", time.monotonic() + HANG
    while not path.exists() or line not in path.read_text():
        assert time.monotonic() < deadline
        assert snakemake.poll() is None
        time.sleep(0.002)


@pytest.fixture(scope="module")
def order(project: Project) -> list[str]:
    """The cells as the one job of the grid trains them, one after another."""
    (cells,) = bundle(list(project.cells("four").values()), 4)
    return [cell.slug for cell in cells]


@pytest.fixture(scope="module")
def orphan(project: Project, order: list[str]) -> Iterator[psutil.Process]:
    """Training of the second cell, stopped in its midst, after its Snakemake was killed."""
    command = project.command(*stamps(project), grid="four", cells_per_job=4)
    with subprocess.Popen(
        command,
        cwd=project.folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as snakemake:
        wait_for(project, order[0], "start on", snakemake)
        children = psutil.Process(snakemake.pid).children(recursive=True)
        (training,) = (child for child in children if "train" in child.cmdline())
        wait_for(project, order[1], " epoch 2:", snakemake)
        training.suspend()
        os.kill(snakemake.pid, signal.SIGKILL)
    yield training
    if training.is_running():
        training.kill()


def test_a_killed_run_goes_on_and_loses_nothing(
    project: Project,
    order: list[str],
    orphan: psutil.Process,
    undisturbed: dict[str, dict[str, bytes]],
) -> None:
    first, held, waiting, broken = order
    done = project.trained("four")
    assert set(done) == {first}
    arguments, config = stamps(project), {"grid": "four", "cells_per_job": 4}

    code, output = project.snakemake(*arguments, **config)
    assert code == 1
    assert "--unlock" in output
    code, output = project.snakemake("--unlock", **config)
    assert code == 0, output

    # A cell that the orphan still holds and one whose checkpoint is broken fail by name; the
    # other one is trained, and the result that was there is not touched.
    checkpoint = project.cell(broken) / "checkpoint.pt"
    checkpoint.write_bytes(b"broken")
    code, output = project.snakemake("--rerun-incomplete", *arguments, **config)
    assert code == 1
    reported = (project.folder / "results" / "logs" / "train" / "0.log").read_text()
    assert reported.splitlines()[0] == f"1/4 {first}: trained already, skipped"
    assert f"agc: error: {held}: {held} is being trained by another process\n" in reported
    assert f"agc: error: {broken}: checkpoint results/cells/{broken}/checkpoint.pt" in reported
    assert "agc: 2 of 4 cells failed\n" in reported
    between = project.trained("four")
    assert set(between) == {first, waiting}
    assert between[first] == done[first]

    # The orphan wakes up, ends its cell, and leaves alone what has been trained meanwhile.
    orphan.resume()
    orphan.wait(120)
    assert {**project.trained("four"), **between} == project.trained("four")
    assert set(project.trained("four")) == {first, held, waiting}

    checkpoint.unlink()
    before = project.trained("four")
    code, output = project.snakemake("--rerun-incomplete", *arguments, **config)
    assert code == 0, output
    final = project.trained("four")
    assert {slug: final[slug] for slug in before} == before
    assert {slug: content(project.cell(slug)) for slug in final} == undisturbed
