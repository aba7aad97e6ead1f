"""A made-up grid with its report, mirrored: ``python -m tests.support.mirrored_grid FOLDER``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from agc.reports.compare import compare
from agc.reports.sources import summarize_provenance
from agc.reports.tables.write import write_tables
from agc.tracking import Front, Grid, default_uri, present, sync
from tests.support.records import collected, entry, write_cell

NAME, SEEDS = "demo", 2
METHODS, CORRECTIONS = ("rigl", "set"), ("none", "agc")


def mirror_grid(results: Path) -> Front:
    """Write two rows of two arms, their tables and their mirror; what its page shows."""
    folders = [
        write_cell(
            results / "cells",
            method=entry(method, drop_fraction=0.3),
            correction=entry(correction),
            seed=seed,
        )
        for method in METHODS
        for correction in CORRECTIONS
        for seed in range(SEEDS)
    ]
    report = results / "report"
    records, epochs = collected(folders, report)
    write_tables(compare(records, epochs), report, summarize_provenance(records))
    cells = {
        folder.name: json.loads((folder / "record.json").read_text())["cell"] for folder in folders
    }
    store, artifacts = default_uri(results), results / "mlartifacts"
    sync(NAME, folders, store, artifacts)
    grid = Grid(NAME, NAME, "does the correction help", cells, folders, report)
    return present(grid, store, artifacts)


if __name__ == "__main__":
    print(mirror_grid(Path(sys.argv[1])).experiment)
