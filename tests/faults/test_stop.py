"""SIGTERM and SIGUSR1: a checkpoint, exit code 75, and a rerun that ends with the same bits."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from agc.grids.cell import Cell
from agc.machine.device import Machine
from agc.machine.stop import EXIT_CODE, Stopped, StopRequest
from agc.runs.train import CellRun
from tests.conftest import CellMaker
from tests.faults.conftest import EPOCHS
from tests.support.trials import trained
from tests.support.waiting import HANG

STEPS = 4


class StopAtStep(StopRequest):
    """Asks for the end, at once, when so many steps have been made."""

    def __init__(self, steps: int) -> None:
        super().__init__(grace=0)
        self.left = steps

    @property
    def overdue(self) -> bool:
        self.left -= 1
        if self.left == 0:
            self.ask("SIGTERM")
        return super().overdue


def log(folder: Path) -> str:
    return (folder / "train.log").read_text(encoding="utf-8")


@pytest.mark.parametrize("epoch", range(1, EPOCHS))
def test_an_epoch_that_ends_in_time_leaves_its_checkpoint(
    cell: Cell, machine: Machine, undisturbed: Path, tmp_path: Path, epoch: int
) -> None:
    stop, folder = StopRequest(), tmp_path / cell.slug

    def signalled(row: dict) -> None:
        if row["epoch"] == epoch:
            stop.ask("SIGUSR1")

    with pytest.raises(Stopped, match=f"stopped by SIGUSR1 after epoch {epoch}"):
        CellRun(cell, folder, machine, on_epoch=signalled, stop=stop).train()
    assert not (folder / "training.json").exists()
    assert CellRun(cell, folder, machine).train() == "finished"
    assert f"resumed after epoch {epoch}\n" in log(folder)
    assert trained(folder) == trained(undisturbed)


def test_a_request_in_the_last_epoch_lets_the_cell_finish(
    cell: Cell, machine: Machine, undisturbed: Path, tmp_path: Path
) -> None:
    stop, folder = StopRequest(), tmp_path / cell.slug

    def signalled(row: dict) -> None:
        if row["epoch"] == EPOCHS:
            stop.ask("SIGTERM")

    run = CellRun(cell, folder, machine, on_epoch=signalled, stop=stop)
    assert run.train() == "finished"
    assert trained(folder) == trained(undisturbed)


@pytest.mark.parametrize("steps", [1, STEPS + 2, 3 * STEPS - 1])
def test_an_epoch_that_takes_too_long_is_given_up_and_the_checkpoint_of_before_is_left(
    cell: Cell, machine: Machine, undisturbed: Path, tmp_path: Path, steps: int
) -> None:
    folder, done = tmp_path / cell.slug, steps // STEPS
    with pytest.raises(Stopped, match=f"stopped by SIGTERM within epoch {done + 1}"):
        CellRun(cell, folder, machine, 0.0, stop=StopAtStep(steps)).train()
    assert (folder / "checkpoint.pt").exists() == (done > 0)
    assert CellRun(cell, folder, machine).train() == "finished"
    assert (f"resumed after epoch {done}\n" if done else "start on") in log(folder)
    assert trained(folder) == trained(undisturbed)


def test_a_request_before_the_first_epoch_ends_a_cell_before_it_begins(
    cell: Cell, machine: Machine, tmp_path: Path
) -> None:
    stop = StopRequest()
    stop.ask("SIGTERM")
    with pytest.raises(Stopped, match="before epoch 1"):
        CellRun(cell, tmp_path / cell.slug, machine, stop=stop).train()


def test_later_signals_take_no_time_away() -> None:
    stop = StopRequest(grace=1000)
    with stop:
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM):
            os.kill(os.getpid(), number)
    assert stop.signal == "SIGUSR1"
    assert not stop.overdue
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_process_of_several_cells_ends_with_the_code_to_try_again(
    cell: Cell,
    tiny_cell: CellMaker,
    agc: Callable[..., ForkServerProcess],
    undisturbed: Path,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    cells = [cell, tiny_cell()]
    folders = [tmp_path / each.slug for each in cells]
    for each, folder in zip(cells, folders, strict=True):
        each.write(folder)
    process = agc("train", *folders, "--grace", 600)
    deadline = time.monotonic() + HANG
    while not (folders[0] / "train.log").exists() or " epoch 1:" not in log(folders[0]):
        assert time.monotonic() < deadline
        assert process.is_alive()
        time.sleep(0.001)
    os.kill(process.pid, number)
    process.join(HANG)
    assert process.exitcode == EXIT_CODE == 75
    said = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert said[0].startswith(f"1/2 {cell.slug}: stopped by {number.name} after epoch")
    assert said[1:] == ["agc: stopped; run the same command again to go on"]
    assert (folders[0] / "checkpoint.pt").exists()
    assert not (folders[1] / "train.log").exists()

    again = agc("train", *folders)
    again.join(HANG)
    assert again.exitcode == 0
    assert "resumed after epoch" in log(folders[0])
    assert trained(folders[0]) == trained(undisturbed)
