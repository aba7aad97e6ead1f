"""The page of a small made-up grid, with ways to the cells and their runs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from agc.reports.compare import compare
from agc.reports.sources import summarize_provenance
from agc.reports.web.page import Beside, write_grid_page
from tests.support.records import collected, entry, write_cell

NAME = "made-up <grid>"
CORRECTIONS = ("none", "agc", "placebo")


def write_made_up_page(folder: Path) -> tuple[Path, pd.DataFrame]:
    """Write ``report.html`` of two rows with three arms each; its path, and the records."""
    cells = [
        write_cell(
            folder / "cells",
            method=entry(method, drop_fraction=0.3),
            correction=entry(correction),
            seed=seed,
            diverged=(method, correction, seed) == ("set", "agc", 2),
        )
        for method in ("rigl", "set")
        for correction in CORRECTIONS
        for seed in range(3)
    ]
    records, epochs = collected(cells, folder / "collected")
    links = {
        slug: {"folder": f"cells/{slug}/", "MLflow": f"http://127.0.0.1:5000/#/runs/{slug}"}
        for slug in records["slug"]
    }
    path = write_grid_page(
        records,
        epochs,
        compare(records, epochs),
        folder,
        summarize_provenance(records),
        NAME,
        "does <it> help",
        Beside(links, "agc track ui made-up", "workflow.html"),
    )
    return path, records
