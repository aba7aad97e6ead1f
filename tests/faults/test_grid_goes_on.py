"""A workflow one of whose cells cannot have the memory that it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from agc.reports.tables.markup import escape_markdown
from tests.support.project import RECIPE, Project, environment
from tests.support.waiting import HANG

SPARE = 150 << 10
"""KiB that a job may have beyond what a small cell needs."""

PEAK = """
import re, sys
from pathlib import Path
from agc.cli import main
try:
    main()
finally:
    print(re.search(r"VmPeak:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Project:
    made = Project(tmp_path / "project", repository)
    # 17 million weights, but few operations.
    large = {"hidden": [4096, 4096], "img_size": 8}
    options = {**RECIPE["options"], "architecture": {"resnet8": {"width": 4}, "mlp_cifar10": large}}
    made.recipe("sizes", **{**RECIPE, "options": options})
    made.grid(
        "sizes",
        recipe="sizes",
        architectures=["resnet8", "mlp_cifar10"],
        objectives=["standard"],
        methods=["dense"],
        sparsities=[],
        corrections=["none"],
    )
    return made


def needed(project: Project, slug: str) -> int:
    """KiB of address space that training this cell takes."""
    command = ["train", str(project.cell(slug)), "--results", "results"]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *command],
        cwd=project.folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1])


def limited(project: Project, kilobytes: int, **config: object) -> int:
    """Run the workflow with no more memory than this for each process; its exit code."""
    script = f'ulimit -v {kilobytes}; exec "$@"'
    command = ["bash", "-c", script, "bash", *project.command("--keep-going", **config)]
    done = subprocess.run(command, cwd=project.folder, env=environment(), timeout=HANG)
    return done.returncode


@pytest.mark.slow
def test_the_others_are_done_and_the_tables_tell_of_it_until_there_is_more_memory(
    project: Project,
) -> None:
    config = {"grid": "sizes", "cells_per_job": 1, "evaluations_per_job": 1}
    cells = {cell.architecture.name: slug for slug, cell in project.cells("sizes").items()}
    small, large = cells["resnet8"], cells["mlp_cifar10"]
    assert project.agc("plan", "sizes", "--write").returncode == 0
    limit = needed(project, small) + SPARE

    assert limited(project, limit, **config, track=False) == 1
    assert (project.cell(small) / "record.json").exists()
    assert (project.cell(large) / "failure.json").exists()
    said = (project.folder / f"results/logs/train/{large}.log").read_text(encoding="utf-8")
    assert said.startswith("agc: error: out of memory (")
    refused = project.agc("collect", "sizes")
    assert refused.returncode == 2
    assert f"agc: error: {large}: out of memory in training after" in refused.stderr

    code, output = project.snakemake(**config, partial=True)
    assert code == 0, output
    tables = project.folder / "reports" / "sizes" / "tables"
    missing = (tables / "missing.md").read_text(encoding="utf-8")
    assert f"| {escape_markdown(large)} | out of memory | out of memory in training" in missing
    assert "1 of 1 out of memory" in (tables / "comparison.html").read_text(encoding="utf-8")
    records = pd.read_parquet(project.folder / "results" / "sizes" / "records.parquet")
    assert dict(zip(records["slug"], records["status"], strict=True)) == {
        small: "finished",
        large: "out of memory",
    }
    shown = project.agc("compare", "sizes", "--show")
    assert "1 of 1 out of memory" in " ".join(shown.stdout.split())
    assert not (project.cell(large) / "training.json").exists()

    before = (project.cell(small) / "training.json").read_bytes()
    code, output = project.snakemake(**config)
    assert code == 0, output
    assert not (project.cell(large) / "failure.json").exists()
    assert not list(tables.glob("missing.*"))
    assert "out of memory" not in (tables / "comparison.html").read_text(encoding="utf-8")
    assert (project.cell(small) / "training.json").read_bytes() == before
