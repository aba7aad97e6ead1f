"""Unusual places and clocks: nothing of them reaches a result."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agc.grids.cell import Cell
from agc.machine.device import Machine
from agc.reports.collect import collect
from agc.runs import train as cell_run
from agc.runs.evaluate import evaluate_cell
from agc.runs.train import CellRun
from tests.support.project import Project
from tests.support.trials import record, trained

STRANGE = "été à Köln – τ, 100 % 'sicher'"
HOMELESS = {"HOME": "/proc/no such home", "XDG_CACHE_HOME": ""}


def test_a_clock_that_jumps_back_and_forth_changes_no_result(
    cell: Cell, machine: Machine, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = [0, -86_400, 3_600, -(10**8), 10**8]
    calls = []

    def jumping() -> float:
        calls.append(0)
        return 1.7e9 + jumps[len(calls) % len(jumps)]

    def now() -> str:
        return datetime.fromtimestamp(jumping(), UTC).isoformat(timespec="milliseconds")

    monkeypatch.setattr(time, "time", jumping)
    monkeypatch.setattr(cell_run, "now", now)
    folder = tmp_path / cell.slug
    CellRun(cell, folder, machine, 0.0).train()
    evaluate_cell(folder, machine)
    assert calls
    assert trained(folder) == trained(undisturbed)
    assert record(folder) == record(undisturbed)
    seconds = json.loads((folder / "record.json").read_text(encoding="utf-8"))["seconds"]
    assert all(0 <= value < 3600 for value in seconds.values())
    collect([folder], tmp_path / "out")


def test_a_path_with_spaces_and_letters_of_all_sorts(
    cell: Cell, machine: Machine, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / STRANGE / cell.slug
    CellRun(cell, folder, machine, 0.0).train()
    evaluate_cell(folder, machine)
    assert trained(folder) == trained(undisturbed)
    assert record(folder) == record(undisturbed)


@pytest.mark.slow
def test_a_cell_from_training_to_its_table_without_a_home(repository: Path, tmp_path: Path) -> None:
    project = Project(tmp_path / "project", repository)
    project.grid(
        "one", objectives=["standard"], methods=["dense"], sparsities=[], corrections=["none"]
    )
    (slug,) = project.cells("one")
    for command in (
        ("plan", "one", "--write"),
        ("train", f"results/cells/{slug}"),
        ("evaluate", f"results/cells/{slug}"),
        ("collect", "one"),
        ("compare", "one"),
        ("track", "sync", "one"),
    ):
        done = project.agc(*command, variables=HOMELESS)
        assert done.returncode == 0, done.stderr
    assert (project.folder / "reports" / "one" / "comparison.csv").exists()


@pytest.mark.slow
def test_the_whole_workflow_in_a_strange_place_without_a_home(
    repository: Path, tmp_path: Path
) -> None:
    # Snakemake itself has to have a cache.
    variables = {**HOMELESS, "XDG_CACHE_HOME": str(tmp_path / STRANGE / "cache")}
    project = Project(tmp_path / STRANGE, repository)
    project.grid("tiny", objectives=["standard"], methods=["rigl"])
    config = {
        "grid": "tiny",
        "cells_per_job": 2,
        "evaluations_per_job": 2,
        "results": "mes résultats",
    }
    code, output = project.snakemake(variables=variables, **config)
    assert code == 0, output
    assert (project.folder / "reports" / "tiny" / "comparison.csv").exists()
    mirrored = json.loads((project.folder / "mes résultats/tiny/tracking.json").read_text())
    assert mirrored["mirrored"]
    assert mirrored["added"] == 2

    # A clock that has been set back makes stamps of the future: no cell is trained for that.
    folders = [project.folder / "mes résultats" / "cells" / slug for slug in project.cells("tiny")]
    before = {folder: (trained(folder), record(folder)) for folder in folders}
    sealed = [(folder / "training.json").read_bytes() for folder in folders]
    for folder in folders:
        os.utime(folder / ".trained", (time.time() + 10**6,) * 2)
    code, output = project.snakemake(variables=variables, **config)
    assert code == 0, output
    assert {folder: (trained(folder), record(folder)) for folder in folders} == before
    assert [(folder / "training.json").read_bytes() for folder in folders] == sealed
