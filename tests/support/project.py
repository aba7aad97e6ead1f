"""A folder as a user has it: the Snakefile, the workflow's files, and grids of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from agc.grids.cell import Cell
from agc.grids.grid import load_grid
from tests.support.waiting import HANG

EXECUTABLES = Path(sys.executable).parent

RECIPE: dict[str, Any] = {
    "training": {
        "epochs": 2,
        "batch_size": 64,
        "validation": 1437 - 4 * 64,
        "augmentation": {"crop": 1},
    },
    "evaluation": {"epsilon": 0.1, "step_size": 0.05, "steps": 2},
    "options": {
        "architecture": {"resnet8": {"width": 4}},
        "objective": {"pgd-at": {"epsilon": 0.1, "step_size": 0.05, "steps": 2}},
        "method": {"*": {"update_interval": 2}},
    },
}
GRID: dict[str, Any] = {
    "description": "a small variant of the default grid",
    "recipe": "tiny",
    "datasets": ["digits"],
    "architectures": ["resnet8"],
    "objectives": ["standard", "pgd-at"],
    "methods": ["dense", "rigl"],
    "sparsities": [0.9],
    "corrections": ["none", "agc"],
    "seeds": 1,
}


def environment(**more: str) -> dict[str, str]:
    """The environment of a command: one thread, nothing that points out of its folder, and no step
    that is timed for a plan.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AGC_", "MLFLOW_"))}
    own = {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "AGC_CALIBRATE": "0"}
    return {**kept, **own, **more}


class Project:
    """A copy of the workflow in an empty folder, with a recipe and grids of the test."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / "Snakefile", folder)
        shutil.copytree(repository / "workflows", folder / "workflows")
        self.recipe("tiny", **RECIPE)

    def recipe(self, name: str, **content: Any) -> None:
        path = self.folder / "workflows" / "recipes" / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")

    def grid(self, name: str, **changes: Any) -> Path:
        path = self.folder / "workflows" / "grids" / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**GRID, **changes}), encoding="utf-8")
        return path

    def cells(self, *grids: str) -> dict[str, Cell]:
        loaded = [load_grid(name, self.folder / "workflows") for name in grids]
        return {cell.slug: cell for grid in loaded for cell in grid.cells}

    def cell(self, slug: str) -> Path:
        return self.folder / "results" / "cells" / slug

    def trained(self, *grids: str) -> dict[str, tuple[int, bytes]]:
        """What seals each trained cell: when it was written, and what is in it."""
        files = {slug: self.cell(slug) / "training.json" for slug in self.cells(*grids)}
        return {
            slug: (path.stat().st_mtime_ns, path.read_bytes())
            for slug, path in files.items()
            if path.exists()
        }

    def command(self, *arguments: str, **config: object) -> list[str]:
        settings = [f"{key}={value}" for key, value in config.items()]
        snakemake = [str(EXECUTABLES / "snakemake"), "--cores", "2", "--scheduler", "greedy"]
        return [*snakemake, *arguments, *(["--config", *settings] if settings else [])]

    def _environment(self, variables: dict[str, str] | None) -> dict[str, str]:
        """With data of its own: what this machine has timed for its user's plans is not there."""
        return environment(**{"AGC_DATA_ROOT": str(self.folder / "data"), **(variables or {})})

    def snakemake(
        self, *arguments: str, variables: dict[str, str] | None = None, **config: object
    ) -> tuple[int, str]:
        """Run Snakemake; returns its exit code and all that it printed."""
        done = subprocess.run(
            self.command(*arguments, **config),
            cwd=self.folder,
            env=self._environment(variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=HANG,
        )
        return done.returncode, done.stdout

    def agc(
        self, *arguments: str, variables: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(EXECUTABLES / "agc"), *arguments],
            cwd=self.folder,
            env=self._environment(variables),
            capture_output=True,
            text=True,
            timeout=HANG,
        )


def job_counts(output: str) -> dict[str, int]:
    """The table "Job stats" of Snakemake's output; bundles of one rule are added up."""
    lines = output.split("Job stats:\n")[1].split("\n\n")[0].splitlines()[2:]
    counts: dict[str, int] = {}
    for line in lines:
        rule, count = line.split()
        name = rule.rstrip("0123456789").rstrip("_")
        counts[name] = counts.get(name, 0) + int(count)
    return counts
