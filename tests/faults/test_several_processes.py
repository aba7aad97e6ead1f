"""A cell on two devices: signals and kills of its processes, and torchrun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agc.grids.cell import Cell
from agc.machine.stop import EXIT_CODE
from tests.conftest import CellMaker
from tests.support.dataset_files import jpeg, pictures
from tests.support.trials import left_over, trained
from tests.support.waiting import HANG

EPOCHS = 4
AGC = [sys.executable, "-m", "agc"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cell(tiny_cell: CellMaker) -> Cell:
    return tiny_cell(
        training={"epochs": EPOCHS, "devices": 2},
        method={"name": "rigl", "options": {"update_interval": 2}},
        sparsity=0.8,
        correction="agc",
        objective="free-at",  # each process has a state of its own
    )


def start(cell: Cell, folder: Path, *command: str) -> subprocess.Popen[str]:
    folder.mkdir(parents=True, exist_ok=True)
    cell.write(folder)
    options = ["train", str(folder), "--device", "cpu", "--checkpoint-interval", "0"]
    return subprocess.Popen([*(command or AGC), *options], stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and what it said."""
    said = process.communicate(timeout=HANG)[1]
    return process.returncode, said


def wait_for(folder: Path, epoch: int) -> None:
    """Wait until an epoch has its checkpoint."""
    deadline = time.monotonic() + HANG
    log, checkpoint = folder / "train.log", folder / "checkpoint.pt"
    while not (log.exists() and f"epoch {epoch}:" in log.read_text() and checkpoint.exists()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def others(process: subprocess.Popen[str]) -> list[int]:
    """Processes that train beside the first; Python's resource tracker is none of them."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in _command(int(pid))]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture(scope="module")
def undisturbed(cell: Cell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / cell.slug
    assert finish(start(cell, folder))[0] == 0
    return folder


def goes_on(cell: Cell, folder: Path, undisturbed: Path) -> None:
    code, said = finish(start(cell, folder))
    assert code == 0, said
    assert "resumed after epoch" in (folder / "train.log").read_text()
    assert trained(folder) == trained(undisturbed)
    assert not left_over(folder)


def test_a_polite_end_is_agreed_on(cell: Cell, undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / cell.slug
    process = start(cell, folder)
    wait_for(folder, 1)
    process.send_signal(signal.SIGTERM)
    code, said = finish(process)
    assert code == EXIT_CODE, said
    assert "stopped by SIGTERM after epoch" in said
    goes_on(cell, folder, undisturbed)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
def test_nobody_is_left_when_the_first_process_is_killed(
    cell: Cell, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / cell.slug
    process = start(cell, folder)
    wait_for(folder, 1)
    (other,) = others(process)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + HANG
    while b"spawn_main" in _command(other):
        assert time.monotonic() < deadline, "the other process goes on alone"
        time.sleep(0.05)
    goes_on(cell, folder, undisturbed)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
def test_the_death_of_another_process_is_said(
    cell: Cell, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / cell.slug
    process = start(cell, folder)
    wait_for(folder, 1)
    (other,) = others(process)
    os.kill(other, signal.SIGKILL)
    code, said = finish(process)
    assert code == 2
    assert "on device 2 of 2: the process has died (exit code -9); run again to go on" in said
    goes_on(cell, folder, undisturbed)


def test_each_process_has_decoders_of_its_own(
    tiny_cell: CellMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = pictures(48, (3, 24, 24), 2, 0)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        for split in ("train", "val"):
            place = tmp_path / "images" / split / str(label)
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number}.jpg").write_bytes(jpeg(image)[0])
    monkeypatch.setenv("AGC_LOADER_WORKERS", "1")
    made = tiny_cell(
        dataset={
            "name": "image-folder",
            "options": {"root": str(tmp_path / "images"), "size": 16},
        },
        training={"epochs": 1, "batch_size": 8, "validation": 0.2, "devices": 2},
    )
    code, said = finish(start(made, tmp_path / made.slug))
    assert code == 0, said
    assert (tmp_path / made.slug / "model.safetensors").is_file()


def test_torchrun_trains_to_the_same_bits(cell: Cell, undisturbed: Path, tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    folder = tmp_path / cell.slug
    code, said = finish(start(cell, folder, *torchrun, "--nproc-per-node", "2", "-m", "agc"))
    assert code == 0, said
    assert trained(folder) == trained(undisturbed)
    assert said.count(cell.slug) == 1, "every process talks"


def test_torchrun_with_another_number_of_processes_is_refused(cell: Cell, tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    folder = tmp_path / cell.slug
    code, said = finish(start(cell, folder, *torchrun, "--nproc-per-node", "3", "-m", "agc"))
    assert code != 0
    assert "the cell has training.devices: 2, but 3 processes run" in said
    assert not (folder / "training.json").exists()
