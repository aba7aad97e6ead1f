"""What a section of a study's page is, and what all of them are made of.

A section is a function ``section(context) -> list of blocks`` in a file of its own, registered in
:data:`SECTIONS` with its place and its heading. All numbers of its text are those of the context,
or named constants of the hypotheses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from agc.errors import UserError
from agc.grids.files import GridFile, Margin
from agc.grids.grid import read_grid
from agc.registry import Registry
from agc.reports.compare import Comparison
from agc.reports.hypotheses.base import Finding, StudyData
from agc.reports.pages.shared.blocks import Block

if TYPE_CHECKING:
    import pandas as pd

SECTIONS = Registry("section", "agc.reports.pages")


@dataclass(frozen=True)
class Context:
    """All that the page of a study is made of.

    Attributes:
        name: the joint grid's.
        description: the grid's, in one line.
        study: what was measured, and which cells each stage has.
        findings: the hypotheses, judged.
        comparison: all rows, pooled estimates, ladders and what the placebo shows.
        provenance: as of :func:`agc.reports.sources.summarize_provenance`.
        margin: the grid's largest differences that do not matter.
        tuning: how learning rates were chosen, as of :func:`agc.reports.tuning.choose`.
        deviations: what was changed after the preregistration, as Markdown; empty: nothing is told.
        preregistered: file with the preregistration beside the page; empty where there is none.
        pictures: PNGs of the folder by their stems.
        stage_files: grid file of each stage that is known here, by name.
    """

    name: str
    description: str
    study: StudyData
    findings: Sequence[Finding]
    comparison: Comparison
    provenance: Mapping[str, Any]
    margin: Margin
    tuning: pd.DataFrame | None = None
    deviations: str = ""
    preregistered: str = ""
    pictures: Mapping[str, Path] = field(default_factory=dict)
    stage_files: Mapping[str, GridFile] = field(default_factory=dict)

    @property
    def records(self) -> pd.DataFrame:
        """A row for each cell."""
        return self.study.records

    def finding(self, key: str) -> Finding | None:
        """What a hypothesis came to; None if it was not asked."""
        return next((found for found in self.findings if found.hypothesis.key == key), None)


class Section(NamedTuple):
    """One part of the page: its heading, its anchor and its blocks."""

    title: str
    anchor: str
    blocks: list[Block]


def sections(context: Context) -> list[Section]:
    """All sections in their order; one without a block is left out."""
    found = []
    entries = [SECTIONS[name] for name in SECTIONS.names()]
    for entry in sorted(entries, key=lambda entry: entry.facts["place"]):
        make: Callable[[Context], list[Block]] = entry.target
        if blocks := make(context):
            found.append(Section(entry.facts["title"], entry.name, blocks))
    return found


def stage_files(names: Sequence[str]) -> dict[str, GridFile]:
    """The grid files of stages; those that are not installed here are left out."""
    found = {}
    for name in names:
        try:
            found[name] = read_grid(name)[1]
        except UserError:
            continue
    return found
