"""Counts and times of a grid whose files are planted."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from filelock import FileLock

from agc.grids.cell import Cell
from agc.grids.files import GridFile
from agc.grids.grid import Grid
from agc.planning.declared import units, units_per_epoch
from agc.records.failure import write_failure
from agc.status.stage import DONE, FAILED, RUNNING, TRAINED, WAITING, read_stage
from agc.status.survey import Survey
from agc.status.words import as_dict, failures, one_line
from tests.conftest import CellMaker

NOW = 1_800_000_000.0
RATE = 0.5
"""Seconds per unit."""


def stamp(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat()


class Planted:
    """Cells that differ in their correction and seed, and what they have left on the disk."""

    def __init__(self, make: CellMaker, root: Path, count: int) -> None:
        names = ("none", "agc")
        self.cells: list[Cell] = [make(correction=names[k % 2], seed=k) for k in range(count)]
        self.root = root

    def survey(self) -> Survey:
        file = GridFile.model_construct(reference=None)
        return Survey([Grid("planted", Path("planted.yaml"), file, tuple(self.cells))], self.root)

    def folder(self, k: int) -> Path:
        made = self.root / "cells" / self.cells[k].slug
        made.mkdir(parents=True, exist_ok=True)
        return made

    def trained(self, k: int, end: float) -> None:
        cell, seconds = self.cells[k], RATE * units(self.cells[k])
        content = {
            "slug": cell.slug,
            "seconds": {"train": 0.75 * seconds, "evaluation": 0.25 * seconds},
            "costs": {"epochs": cell.training.epochs},
            "provenance": {"finished": stamp(end)},
        }
        (self.folder(k) / "training.json").write_text(json.dumps(content))

    def done(self, k: int, end: float, seconds: float) -> None:
        path = self.folder(k) / "robustness.json"
        path.write_text(json.dumps({"seconds": seconds}))
        os.utime(path, (end, end))
        (self.folder(k) / "record.json").touch()

    def log(self, k: int, *lines: str) -> None:
        (self.folder(k) / "train.log").write_text("".join(f"{line}\n" for line in lines))

    def seconds(self, k: int) -> float:
        return RATE * units(self.cells[k])


@pytest.fixture
def planted(tiny_cell: CellMaker, tmp_path: Path) -> Planted:
    return Planted(tiny_cell, tmp_path / "results", 6)


def test_results_that_do_not_exist_are_none_of_all(planted: Planted) -> None:
    status = planted.survey().look(NOW)
    assert (status.planned, status.counts[DONE], status.counts[WAITING]) == (6, 0, 6)
    assert (status.share, status.used, status.left) == (0, 0, None)
    assert one_line(status).startswith("planted: 0 of 6 cells done, 6 waiting; 0 %, 0:00:00 used")
    assert not planted.root.exists()


def test_every_stage_is_told_from_the_files(planted: Planted) -> None:
    for k in (0, 1):
        planted.trained(k, NOW - 50)
    planted.done(0, NOW - 40, 2.0)
    write_failure(planted.folder(3), planted.cells[3].slug, "training", 1, "no more of it")
    planted.log(4, f"{stamp(NOW - 9)} start on cpu (a cpu)", f"{stamp(NOW - 8)} epoch 1: loss 1")
    with FileLock(planted.folder(2) / ".lock", timeout=0):
        status = planted.survey().look(NOW)
    assert status.counts == {DONE: 1, TRAINED: 1, RUNNING: 1, FAILED: 1, WAITING: 2}
    assert failures(status) == [
        f"failed: {planted.cells[3].slug}: out of memory in training after 1 epoch: no more of it"
    ]
    assert json.loads(json.dumps(as_dict(status)))["counts"]["running"] == 1
    # The process that held the lock is gone, as one that was killed.
    assert planted.survey().look(NOW).counts[WAITING] == 3
    assert read_stage(planted.folder(4)).epochs == 1


def test_looking_keeps_no_training_out_and_writes_nothing(planted: Planted) -> None:
    lock = planted.folder(0) / ".lock"
    lock.touch()
    before = set(planted.root.rglob("*"))
    planted.survey().look(NOW)
    with FileLock(lock, timeout=0):
        pass
    assert set(planted.root.rglob("*")) == before


def test_the_time_left_is_the_units_left_at_the_rate_measured(planted: Planted) -> None:
    """Two processes: 0 then 2, and 1 then 3, with half of 2 and all of 3 to be done; attacks last
    2 seconds a cell, and that of cell 0 was made after its training.
    """
    start = NOW - 1000
    planted.trained(0, start + planted.seconds(0))
    planted.done(0, start + planted.seconds(0) + 2, 2.0)
    planted.trained(1, start + planted.seconds(1))
    half = planted.seconds(2) / 2
    planted.log(
        2,
        f"{stamp(NOW - half)} start on cpu (a cpu)",
        f"{stamp(NOW)} epoch 1: loss 1, validation 1",
    )
    with FileLock(planted.folder(2) / ".lock", timeout=0):
        status = planted.survey().look(NOW)

    # Between the two stretches is a pause, which is no time used.
    first = max(planted.seconds(0) + 2, planted.seconds(1))
    work = planted.seconds(0) + 2 + planted.seconds(1) + half
    assert status.used == pytest.approx(first + half, abs=1e-3)
    assert status.at_once == pytest.approx(work / (first + half), abs=1e-3)
    left = half + sum(map(planted.seconds, (3, 4, 5))) + 5 * 2
    assert status.left == pytest.approx(left / status.at_once, rel=1e-3)
    assert status.share == pytest.approx(work / (work + left), rel=1e-3)


def test_epochs_before_a_kill_count_as_done_and_give_no_rate(planted: Planted) -> None:
    cell = planted.cells[0]
    per_epoch = RATE * units_per_epoch(cell)
    planted.log(
        0,
        f"{stamp(NOW - 9000)} start on cpu (a cpu)",
        f"{stamp(NOW - 8000)} epoch 1: loss 1, validation 1",
        f"{stamp(NOW - 20 - per_epoch)} resumed after epoch 1",
        f"{stamp(NOW - 20)} epoch 2: loss 1, validation 1",
    )
    status = planted.survey().look(NOW)
    stage = read_stage(planted.folder(0))
    assert (stage.epochs, stage.measured) == (2, 1)
    assert status.used == pytest.approx(per_epoch, abs=1e-3)
    assert status.left == pytest.approx(sum(map(planted.seconds, range(1, 6))), rel=1e-3)
    assert one_line(status).endswith(" left, attacks not counted")


def test_a_done_grid_has_nothing_left(planted: Planted) -> None:
    for k in range(6):
        planted.trained(k, NOW - 50)
        planted.done(k, NOW - 40, 2.0)
    status = planted.survey().look(NOW)
    assert status.complete
    assert (status.share, status.left) == (1, 0)
    assert one_line(status).endswith("nothing left")
