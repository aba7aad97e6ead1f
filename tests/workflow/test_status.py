"""The workflow says how many cells are done: in its main process, and only while it runs."""

from __future__ import annotations

from pathlib import Path

from tests.support.project import Project


def told(output: str) -> list[str]:
    return [line for line in output.splitlines() if "cells done" in line]


def test_the_main_process_says_where_the_cells_stand(tmp_path: Path, repository: Path) -> None:
    project = Project(tmp_path / "project", repository)
    project.grid("few")
    cells = project.cells("few")
    target, config = f"results/cells/{next(iter(cells))}/cell.json", {"grid": "few"}

    assert told(project.snakemake(target, "--dry-run", **config)[1]) == []
    code, output = project.snakemake(target, "--quiet", "rules", "host", "reason", **config)
    assert code == 0, output
    # The job of the rule is a process of its own, which says nothing.
    (line,) = told(output)
    count = len(cells)
    assert line.startswith(f"few: 0 of {count} cells done, {count} waiting; ")
