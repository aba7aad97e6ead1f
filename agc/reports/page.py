"""The page of a preregistered study: one text for GitHub, and one file that needs no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc.files import atomic_write_text
from agc.reports.figures.hypotheses import write_hypotheses
from agc.reports.findings import findings
from agc.reports.hypotheses.base import StudyData
from agc.reports.pages.base import Context, sections, stage_files
from agc.reports.pages.shared.render import to_html, to_markdown
from agc.reports.tables.hypotheses import FILE, parts_frame

if TYPE_CHECKING:
    import pandas as pd

    from agc.grids.files import Margin
    from agc.reports.compare import Comparison

README, HTML = "README.md", "report.html"
PREREGISTRATION, DEVIATIONS = "PREREGISTRATION.md", "DEVIATIONS.md"


def write_study_page(
    study: StudyData,
    comparison: Comparison,
    out: Path,
    provenance: Mapping[str, Any],
    name: str,
    description: str,
    margin: Margin,
    pictures: Sequence[Path] = (),
    tuning: pd.DataFrame | None = None,
) -> Context:
    """Write ``README.md``, ``report.html``, ``hypotheses.csv`` and the forest into ``out``.

    Args:
        study: what was measured, and which cells each stage has.
        comparison: what the joint grid measured.
        out: folder of the report, with the preregistration and its deviations if there are any.
        provenance: as of ``summarize_provenance``.
        name: the joint grid's.
        description: the grid's, in one line.
        margin: the grid's largest differences that do not matter.
        pictures: further figures, PNGs in ``out``.
        tuning: how learning rates were chosen, as of :func:`agc.reports.tuning.choose`.

    Returns:
        What the page was made of.
    """
    found = findings(study)
    drawn = [path for path in write_hypotheses(found, out) if path.parent == out]
    deviations = out / DEVIATIONS
    context = Context(
        name=name,
        description=description,
        study=study,
        findings=found,
        comparison=comparison,
        provenance=provenance,
        margin=margin,
        tuning=tuning,
        deviations=deviations.read_text(encoding="utf-8") if deviations.is_file() else "",
        preregistered=PREREGISTRATION if (out / PREREGISTRATION).is_file() else "",
        pictures={path.stem: path for path in (*drawn, *pictures)},
        stage_files=stage_files(sorted(study.stages)),
    )
    made = sections(context)
    frame = parts_frame(found)
    atomic_write_text(out / FILE, frame.to_csv(index=False, lineterminator="\n"))
    atomic_write_text(out / README, to_markdown(name, made))
    atomic_write_text(out / HTML, to_html(name, made))
    return context
