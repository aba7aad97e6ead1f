from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from agc.errors import UserError
from agc.planning.planned import (
    HEADROOM,
    MEGABYTES,
    MINUTES,
    PLAN,
    Request,
    job_request,
    read_plan,
    write_plan,
)
from agc.planning.seconds import cost
from tests.conftest import CellMaker
from tests.support.timings import ROUND

USUAL = Request(240, 4000)


@pytest.fixture
def folders(tiny_cell: CellMaker, tmp_path: Path) -> list[Path]:
    """Two cells that are planned."""
    made = []
    for seed in (0, 1):
        cell = tiny_cell(seed=seed, training={"epochs": 100})
        folder = tmp_path / cell.slug
        cell.write(folder)
        write_plan(folder, cell, cost(cell, ROUND, "here"), 10.0, "2026-11-26T00:00:00+00:00")
        made.append(folder)
    return made


def test_a_plan_is_read_as_it_was_written(folders: list[Path], tiny_cell: CellMaker) -> None:
    plan = read_plan(folders[0])
    known = cost(tiny_cell(training={"epochs": 100}), ROUND, "here")
    assert plan is not None
    assert plan["seconds"]["total"] == known.seconds
    assert plan["seconds"]["high"] == known.high
    assert (plan["memory"], plan["disk"]) == (known.memory, known.disk)
    assert read_plan(folders[0].parent) is None


def test_what_has_begun_is_planned_no_more(folders: list[Path], tiny_cell: CellMaker) -> None:
    before = (folders[0] / PLAN).read_bytes()
    (folders[0] / "train.log").touch()
    cell = tiny_cell(training={"epochs": 100})
    write_plan(folders[0], cell, cost(cell, ROUND, "elsewhere"), 10.0, "later")
    assert (folders[0] / PLAN).read_bytes() == before


def test_a_damaged_plan_and_one_of_another_cell_are_refused(folders: list[Path]) -> None:
    first, second = folders
    (second / PLAN).write_bytes((first / PLAN).read_bytes())
    with pytest.raises(UserError, match=r"no plan of digits"):
        read_plan(second)
    for text in ("{}", "[]", json.dumps({"schema": 1, "seconds": {"low": "soon"}})):
        (first / PLAN).write_text(text)
        with pytest.raises(UserError, match=r"plan\.json"):
            read_plan(first)


def test_a_job_asks_for_all_of_its_cells_with_headroom(folders: list[Path]) -> None:
    plans = [read_plan(folder) for folder in folders]
    seconds = [plan["seconds"] for plan in plans if plan is not None]
    attacks = [one["high"] * one["attacks"] / one["total"] for one in seconds]
    rest = [one["high"] - attack for one, attack in zip(seconds, attacks, strict=True)]
    for stage, spent in (("train", rest), ("attacks", attacks)):
        found = job_request(folders, [], stage, USUAL)
        assert found.minutes == MINUTES + math.ceil(HEADROOM * (10 + sum(spent)) / 60)
        assert found.megabytes == MEGABYTES + math.ceil(HEADROOM * 800)
    alone = job_request(folders[:1], [], "train", USUAL)
    assert alone.minutes < job_request(folders, [], "train", USUAL).minutes


def test_a_busy_machine_gets_as_much_more_of_the_clock(
    folders: list[Path],
) -> None:
    quiet = job_request(folders, [], "train", USUAL).minutes - MINUTES
    for folder in folders:
        plan = json.loads((folder / PLAN).read_text())
        plan["seconds"]["load"] = 3.0
        (folder / PLAN).write_text(json.dumps(plan))
    assert job_request(folders, [], "train", USUAL).minutes - MINUTES > 2 * quiet


def test_a_job_of_a_cell_that_nobody_timed_asks_for_what_is_usual(folders: list[Path]) -> None:
    (folders[1] / PLAN).unlink()
    assert job_request(folders, [], "train", USUAL) == USUAL


def test_a_job_whose_cells_are_not_planned_yet_asks_later(folders: list[Path]) -> None:
    awaited = [str(folder / "cell.json") for folder in folders]
    (folders[1] / "cell.json").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        job_request(folders, awaited, "train", USUAL)
    # By this name Snakemake knows that it is to ask again.
    assert caught.value.filename == awaited[1]
