"""Small made-up studies, and every text that the program makes of one."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from agc.reports import report
from agc.reports.blocks import BLOCKS
from agc.reports.compare import Comparison
from agc.reports.report import write_report
from agc.reports.sources import summarize_provenance
from agc.reports.tables import methods
from agc.reports.tables.calibration import calibration_table
from agc.reports.tables.claims import claim_lines, claim_tables
from agc.reports.tables.comparison import (
    acceleration_tables,
    accuracy_tables,
    cost_tables,
    paper_tables,
)
from agc.reports.tables.ladder import ladder_lines, ladder_table
from agc.reports.tables.markup import TextTable, markdown
from agc.reports.tables.pooled import pooled_lines, pooled_table
from agc.reports.tables.readme import write_readme
from agc.reports.tables.terminal import print_comparison
from agc.reports.tables.write import write_tables
from tests.support.ladders import ladder_grid
from tests.support.records import collected, entry, write_cell

GRID, LADDER, STAGED = "digits", "ladder", "study"
OF_HYPOTHESES = ("answers", "systems")
"""Blocks that are made of a study in stages."""
PLANNED_EPOCHS = 40
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "answers": (STAGED, "H0", "H1", "H2", "H8b"),
    "cards": (),
    "paper": (),
    "studies": (),
    "systems": (),
    "ladder": (LADDER,),
    "contrasts": (GRID, "agc", "placebo"),
    "by": ("sparsity", GRID),
    "dunnett": (GRID, "set"),
}
"""Of the blocks; of others the name of the grid."""
BUDGETS = {"none": (4, 8, 16), "agc": (4, 8), "placebo": (4, 8)}
TUNING = pd.DataFrame(
    {
        **{"arm": "a", "method": "rigl", "sparsity": 0.95, "correction": "agc", "recipe": ""},
        **{"lr": [0.1, 0.3], "seeds": "100 101", "validation_accuracy_mean": [0.81234, 0.43456]},
        **{"validation_accuracy_sd": [0.01234, 0.02], "diverged": [0, 1]},
        **{"units": [1234.0, 432.0], "seconds": [98765.0, 4321.0]},
        **{"chosen": [True, False], "at_edge": [True, False]},
    }
)
"""A choice of learning rates, which a page may show."""
Maker = Callable[[pd.DataFrame], list[str]]


class Made(NamedTuple):
    """A study, what is compared in it, and its folder of reports."""

    records: pd.DataFrame
    epochs: pd.DataFrame
    comparison: Comparison
    provenance: dict[str, Any]
    reports: Path


def make_studies(root: Path) -> dict[str, Made]:
    """A grid with a placebo, planned runs, an attacked objective and a diverged run; a ladder."""
    studies = {}
    folders = {
        GRID: _grid(root / "cells"),
        LADDER: ladder_grid(root / "rungs", 0.8, sd=0.004, budgets=BUDGETS),
    }
    for name, cells in folders.items():
        records, epochs = collected(cells, root / "reports" / name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(report, "write_figures", lambda *_: [])  # No text is made of them.
            made = write_report(records, epochs, root / "reports" / name, name)
        provenance = summarize_provenance(records)
        studies[name] = Made(records, epochs, made, provenance, root / "reports")
    return studies


def page_and_tables(made: Made, out: Path) -> dict[str, str]:
    """The page of a study, its Markdown tables, and what the terminal shows, by name."""
    comparison, provenance = made.comparison, made.provenance
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods, "FEWEST", 2)  # So that two are a table of methods.
        write_tables(comparison, out, provenance)
    write_readme(comparison, out, provenance, "made-up", tuning=TUNING)
    texts = {path.name: path.read_text(encoding="utf-8") for path in out.rglob("*.md")}
    return texts | {"terminal": terminal(comparison)}


def terminal(comparison: Comparison) -> str:
    """What the terminal shows; each line of its prose in one."""
    screen = io.StringIO()
    print_comparison(comparison, Console(file=screen, width=1000))
    return screen.getvalue()


def block(reports: Path, name: str) -> str:
    """One generated block of a page."""
    made: Callable[..., str] = BLOCKS[name]
    return made(reports, *ARGUMENTS.get(name, (GRID,)))


def texts_of_lines(comparison: Comparison) -> Iterator[tuple[str, pd.DataFrame, str]]:
    """Each line of each frame, by the frame's name, and what all tables and lines make of it."""
    for name, makers in MAKERS.items():
        frame = getattr(comparison, name)
        for index in range(0 if frame is None else len(frame)):
            line = frame.iloc[[index]]
            yield name, line, "\n".join(text for make in makers for text in make(line))


def _tables(*makers: Callable[[pd.DataFrame], TextTable | list[TextTable]]) -> list[Maker]:
    def rows(line: pd.DataFrame, make: Any) -> list[str]:
        made = make(line)
        return list(map(markdown, made if isinstance(made, list) else [made]))

    return [partial(rows, make=make) for make in makers]


MAKERS: dict[str, list[Maker]] = {
    "main": _tables(accuracy_tables, acceleration_tables, paper_tables, cost_tables),
    "claims": [*_tables(claim_tables), claim_lines],
    "pooled": [*_tables(pooled_table), pooled_lines],
    "ladder": [*_tables(ladder_table), ladder_lines],
    "calibration": _tables(calibration_table),
}
"""What makes texts of a line of each frame of a comparison."""


def shifted(made: Made, by: float, correction: str = "agc") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records and epochs of a study in which the accuracies of one correction are others."""
    records, epochs = made.records.copy(), made.epochs.copy()
    own = records["correction"] == correction
    for frame, rows in ((records, own), (epochs, epochs["slug"].isin(records.loc[own, "slug"]))):
        names = [name for name in frame if name.endswith("_accuracy")]
        frame.loc[rows, names] += by
    return records, epochs


def _grid(root: Path) -> list[Path]:
    standard = ("standard", "rigl", 0.98), ("standard", "set", 0.98), ("standard", "rigl", 0.95)
    folders = []
    for kind in (*standard, ("pgd-at", "rigl", 0.95)):
        objective, method, sparsity = kind
        for seed in range(3):
            row = {"objective": entry(objective), "method": entry(method)}
            row |= {"sparsity": sparsity, "seed": seed}
            for name in ("none", "agc", "placebo"):
                lost = (name, method, sparsity, seed) == ("agc", "set", 0.98, 1)
                folders.append(write_cell(root, lost, correction=entry(name), **row))
            if kind in standard:
                folders.append(_planned(root, row))
    return folders


def _planned(root: Path, row: dict[str, Any]) -> Path:
    """A plain run that has the units of a corrected one as epochs."""
    draws = np.random.default_rng([row["seed"], round(100 * row["sparsity"])])
    curve = np.linspace(0.3, 0.93, PLANNED_EPOCHS) + 0.01 * draws.normal(size=PLANNED_EPOCHS)
    training = {"epochs": PLANNED_EPOCHS, "batch_size": 128}
    training["optimizer"] = {"name": "sgd", "lr": 0.1}
    columns = {"validation_accuracy": curve, "test_accuracy": curve - 0.01}
    return write_cell(root, columns=columns, training=training, **row)
