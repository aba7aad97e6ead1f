from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from itertools import count, product
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest

from agc.grids.cell import Cell
from tests.conftest import CellMaker
from tests.support.forked import start
from tests.support.waiting import HANG

METHODS = ("dense", "static", "set", "rigl")
CORRECTIONS = ("none", "agc")
OBJECTIVES = ("standard", "pgd-at")
COMBINATIONS = list(product(METHODS, CORRECTIONS, OBJECTIVES))
EPOCHS = 4
SAME = ("epochs.csv", "model.safetensors", "best.safetensors")
KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def cell(tiny_cell: CellMaker) -> Callable[..., Cell]:
    """A cell of the default grid, small, whose topology changes in every epoch."""

    def make(method: str, correction: str, objective: str) -> Cell:
        grows = {"update_interval": 2} if method in ("set", "rigl") else {}
        attack = {"steps": 2} if objective == "pgd-at" else {}
        return tiny_cell(
            {"epochs": EPOCHS},
            method={"name": method, "options": grows},
            sparsity=0.0 if method == "dense" else 0.9,
            correction=correction,
            objective={"name": objective, "options": attack},
        )

    return make


@pytest.fixture(scope="module")
def undisturbed(
    context: ForkServerContext,
    cell: Callable[..., Cell],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """All cells, trained one after another by one process that wrote no checkpoint."""
    root = tmp_path_factory.mktemp("undisturbed")
    cells = [cell(*combination) for combination in COMBINATIONS]
    for made in cells:
        made.write(root / made.slug)
    process = start(context, root / "log", "train", *(root / made.slug for made in cells))
    process.join(HANG)
    assert process.exitcode == 0, (root / "log").read_text()
    return root


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in SAME}


def wait_for(happened: Callable[[], bool], process: ForkServerProcess) -> None:
    deadline = time.monotonic() + HANG
    while not happened():
        assert time.monotonic() < deadline
        assert process.is_alive()
        time.sleep(0.001)


def wait_for_epoch(folder: Path, epoch: int, process: ForkServerProcess) -> None:
    """Return as soon as the log tells of this epoch."""
    log = folder / "train.log"
    wait_for(lambda: log.exists() and f" epoch {epoch}:" in log.read_text(), process)


@pytest.mark.parametrize(("method", "correction", "objective"), COMBINATIONS)
def test_killed_and_run_again_gives_the_same_bytes(
    method: str,
    correction: str,
    objective: str,
    cell: Callable[..., Cell],
    undisturbed: Path,
    agc: Callable[..., ForkServerProcess],
    moments: random.Random,
    tmp_path: Path,
) -> None:
    made = cell(method, correction, objective)
    for attempt in count():
        folder = tmp_path / str(attempt) / made.slug
        made.write(folder)
        process = agc("train", folder, "--checkpoint-interval", 0)
        wait_for_epoch(folder, moments.randint(2, EPOCHS - 1), process)
        time.sleep(moments.uniform(0, 0.05))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        if not (folder / "training.json").exists():
            break
        assert attempt < 10, "it always finishes before it is killed"
    assert process.exitcode == KILLED
    again = agc("train", folder, "--checkpoint-interval", 0)
    again.join(HANG)
    assert again.exitcode == 0, (tmp_path / "log").read_text()
    assert content(folder) == content(undisturbed / made.slug)
    assert "resumed after epoch" in (folder / "train.log").read_text()


def test_a_kill_before_any_file_is_in_place_leaves_a_cell_that_can_be_run_again(
    cell: Callable[..., Cell],
    undisturbed: Path,
    agc: Callable[..., ForkServerProcess],
    tmp_path: Path,
) -> None:
    made = cell("rigl", "agc", "standard")
    expected = content(undisturbed / made.slug)
    for files in count(1):
        folder = tmp_path / str(files) / made.slug
        made.write(folder)
        process = agc("train", folder, "--checkpoint-interval", 0, die_at=files)
        process.join(HANG)
        if process.exitcode == 0:
            break
        assert process.exitcode == KILLED
        assert not (folder / "training.json").exists()
        assert list(folder.glob(".*.tmp"))
        for path in (path for path in map(folder.joinpath, SAME) if path.exists()):
            assert path.read_bytes() == expected[path.name]
        agc("train", folder).join(HANG)
        assert content(folder) == expected
        left = {path.name for path in folder.iterdir()}
        assert left == {path.name for path in (undisturbed / made.slug).iterdir()}
    # Three checkpoints, two files of weights, three tables, and training.json at the end.
    assert files == 10


def test_a_kill_before_the_first_checkpoint_starts_the_cell_anew(
    cell: Callable[..., Cell],
    undisturbed: Path,
    agc: Callable[..., ForkServerProcess],
    tmp_path: Path,
) -> None:
    made = cell("set", "agc", "pgd-at")
    folder = tmp_path / made.slug
    made.write(folder)
    process = agc("train", folder)
    wait_for_epoch(folder, 2, process)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not (folder / "checkpoint.pt").exists()
    agc("train", folder).join(HANG)
    assert content(folder) == content(undisturbed / made.slug)
    assert (folder / "train.log").read_text().count("start on") == 2


def test_an_interrupt_says_how_to_go_on(
    cell: Callable[..., Cell],
    undisturbed: Path,
    agc: Callable[..., ForkServerProcess],
    tmp_path: Path,
) -> None:
    made = cell("rigl", "none", "pgd-at")
    folder = tmp_path / made.slug
    made.write(folder)
    process = agc("train", folder, "--checkpoint-interval", 0)
    wait_for((folder / "checkpoint.pt").exists, process)
    os.kill(process.pid, signal.SIGINT)
    process.join(HANG)
    assert process.exitcode == 130
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line == "agc: interrupted; run the same command again to go on"
    agc("train", folder).join(HANG)
    assert content(folder) == content(undisturbed / made.slug)
    assert "resumed after epoch" in (folder / "train.log").read_text()


def test_two_processes_never_train_the_same_cell(
    cell: Callable[..., Cell],
    undisturbed: Path,
    agc: Callable[..., ForkServerProcess],
    tmp_path: Path,
) -> None:
    made = cell("static", "agc", "pgd-at")
    folder = tmp_path / made.slug
    made.write(folder)
    first = agc("train", folder)
    wait_for_epoch(folder, 1, first)
    os.kill(first.pid, signal.SIGSTOP)
    second = agc("train", folder)
    second.join(HANG)
    assert second.exitcode == 2
    assert not (folder / "training.json").exists()
    os.kill(first.pid, signal.SIGCONT)
    first.join(HANG)
    assert first.exitcode == 0
    log = (tmp_path / "log").read_text()
    assert f"agc: error: {made.slug} is being trained by another process\n" in log
    assert content(folder) == content(undisturbed / made.slug)


def test_a_checkpoint_that_is_of_another_cell_or_not_whole_is_refused(
    cell: Callable[..., Cell], agc: Callable[..., ForkServerProcess], tmp_path: Path
) -> None:
    made, other = cell("rigl", "agc", "standard"), cell("rigl", "none", "standard")
    path = tmp_path / made.slug / "checkpoint.pt"
    for each in (made, other):
        each.write(tmp_path / each.slug)
    agc("train", tmp_path / other.slug, "--checkpoint-interval", 0, die_at=2).join(HANG)
    whole = (tmp_path / other.slug / "checkpoint.pt").read_bytes()
    for bad, message in (
        (whole, f"agc: error: checkpoint {path} is of cell {other.slug!r}, not {made.slug!r}"),
        (whole[: len(whole) // 2], f"agc: error: checkpoint {path} cannot be read ("),
    ):
        path.write_bytes(bad)
        refused = agc("train", path.parent)
        refused.join(HANG)
        assert refused.exitcode == 2
        assert (tmp_path / "log").read_text().splitlines()[-1].startswith(message)
        assert path.read_bytes() == bad
        assert {p.name for p in path.parent.iterdir()} == {".lock", "cell.json", "checkpoint.pt"}
