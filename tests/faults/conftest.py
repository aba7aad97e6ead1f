"""What the tests of faults share: a small cell, its undisturbed result, and processes to hurt."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest

from agc.grids.cell import Cell
from agc.machine.device import Machine
from tests.conftest import CellMaker
from tests.support.forked import server, start

EPOCHS = 4


@pytest.fixture(scope="session")
def context() -> ForkServerContext:
    return server()


@pytest.fixture
def agc(context: ForkServerContext, tmp_path: Path) -> Iterator[Callable[..., ForkServerProcess]]:
    """Starts ``agc``; what it prints goes to ``tmp_path/log``, and nothing outlives the test."""
    started: list[ForkServerProcess] = []

    def run(*arguments: object, **more: object) -> ForkServerProcess:
        started.append(start(context, tmp_path / "log", *arguments, **more))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.join()


@pytest.fixture
def moments() -> random.Random:
    """When to strike: other moments in each run, and the seed to repeat them."""
    seed = int(os.environ.get("KILL_SEED", time.time_ns() % 2**32))
    print(f"KILL_SEED={seed}")
    return random.Random(seed)


@pytest.fixture(scope="session")
def cell(tiny_cell: CellMaker) -> Cell:
    """Four epochs of four steps, whose masks change and whose correction has a memory."""
    return tiny_cell(
        {"epochs": EPOCHS},
        method={"name": "rigl", "options": {"update_interval": 2}},
        sparsity=0.9,
        correction="agc",
        evaluation={"epsilon": 0.1, "step_size": 0.05, "steps": 1},
    )


@pytest.fixture(scope="session")
def undisturbed(cell: Cell, machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cell's folder after a training and an evaluation in peace, without a checkpoint."""
    from agc.runs.evaluate import evaluate_cell
    from agc.runs.train import CellRun

    folder = tmp_path_factory.mktemp("undisturbed") / cell.slug
    assert CellRun(cell, folder, machine).train() == "finished"
    evaluate_cell(folder, machine)
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in memory."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=8m", "tmpfs"]
    made = subprocess.run(["mount", *options, folder], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)
