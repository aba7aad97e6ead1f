"""The page of a small made-up study in stages, as its files and as the context of its sections."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agc.files import atomic_write_text
from agc.grids.cell import Cell
from agc.grids.files import Margin
from agc.reports import report
from agc.reports.page import DEVIATIONS, PREREGISTRATION, write_study_page
from agc.reports.pages import s13_data
from agc.reports.pages.base import Context, sections
from agc.reports.pages.shared.blocks import Table
from agc.reports.pages.shared.render import to_markdown
from agc.reports.tuning import FILE
from tests.support.generated_texts import TUNING
from tests.support.study_records import made_gradients, make_study, stage_cells, with_effect

SEEDS, NEVER_RUN = 3, "study-noise"
CHANGED = "# Deviations\n\n2026-02-03: a made-up reason, of 3 words or so.\n"


def write_made_up_study(out: Path) -> Context:
    """Write the report of three stages with few seeds, a diverged run, and one that was not run."""
    names = ("core", "controls", "ladder")
    stages = {name: _few(cells) for name, cells in stage_cells(names).items()}
    lost = next(cell.slug for cell in stages["study-core"] if cell.correction.name == "agc")
    truth = with_effect(lambda cell: 0.004 * (cell.correction.name == "agc"))
    study = make_study(truth, stages, lost=lambda cell: cell.slug == lost)
    never = frozenset(cell.slug for cell in _few(stage_cells(("noise",))[NEVER_RUN]))
    planned = dict(study.stages) | {NEVER_RUN: never}
    records = study.records.assign(provenance_torchattacks=None)
    gradients = made_gradients(study, 0.9)
    atomic_write_text(out / PREREGISTRATION, "# What is asked\n")
    atomic_write_text(out / DEVIATIONS, CHANGED)
    atomic_write_text(out / FILE, "not read here\n")
    made: list[Context] = []

    def kept(*arguments: Any) -> None:
        made.append(write_study_page(*arguments))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "write_figures", lambda *_: [])
        patch.setattr(report, "read_tuning", lambda _: TUNING.assign(epochs=20))
        patch.setattr(report, "read_gradients", lambda _: gradients)
        patch.setattr(report, "write_study_page", kept)
        # The published checksums are torchvision's, which takes its time.
        patch.setattr(s13_data, "_files", lambda _: ["`images.gz`: MD5 `0a1b2c`"])
        margin = Margin(accuracy=0.5)
        named = ("made-up", "a study of nothing", margin)
        report.write_report(records, study.epochs, out, *named, stages=planned)
    return made[0]


def whole_text(context: Context) -> str:
    """All sections as Markdown, with the tables that the page for GitHub leaves out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s13_data, "_files", lambda _: ["`images.gz`: MD5 `0a1b2c`"])
        found = sections(context)
    shown = [
        one._replace(
            blocks=[
                replace(block, long=False) if isinstance(block, Table) else block
                for block in one.blocks
            ]
        )
        for one in found
    ]
    return to_markdown(context.name, shown)


def _few(cells: tuple[Cell, ...]) -> list[Cell]:
    return [cell for cell in cells if cell.seed < SEEDS]
