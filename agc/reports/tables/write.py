"""The tables of a grid as files: CSV with all numbers, Markdown and LaTeX to read and to print."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc.errors import UserError
from agc.files import atomic_write_text, write_json
from agc.grids.axes import AXES
from agc.reports.compare import Comparison
from agc.reports.entries import AXIS, ENTRY
from agc.reports.entries import FILE as ENTRIES
from agc.reports.solvers import FILE as SOLVERS
from agc.reports.solvers import SOLVER
from agc.reports.tables.calibration import HEADING, calibration_table
from agc.reports.tables.claims import claim_tables, untested
from agc.reports.tables.comparison import (
    acceleration_tables,
    accuracy_tables,
    cost_tables,
    paper_tables,
    without_result,
)
from agc.reports.tables.ladder import ladder_table
from agc.reports.tables.markup import TextTable, escape_markdown, latex, markdown
from agc.reports.tables.methods import method_tables
from agc.reports.tables.pooled import pooled_table
from agc.reports.tables.published import published_tables

if TYPE_CHECKING:
    import pandas as pd

HEADINGS = {
    "pooled": "All rows together",
    "ladder": "Budget ladders",
    "claims": "The claims",
    "accuracy": "Accuracy",
    "acceleration": "Acceleration",
    "cost": "Cost",
    "methods": "Methods",
    "missing": "Cells without a result",
    "published": "Published figures",
    "calibration": HEADING,
}


def write_tables(comparison: Comparison, out: Path, provenance: dict[str, Any]) -> list[Path]:
    """Write all tables of a comparison.

    ``comparison.csv``, ``pooled.csv`` and ``claims.csv`` hold every number. In the folder
    ``tables``, ``pooled``, ``claims``, ``accuracy``, ``acceleration`` and ``cost`` are views as
    ``.md`` and ``.tex``, and ``comparison.md`` and ``.tex`` all views in one file; ``methods`` is
    there where a grid has several, ``ladder`` (and ``ladder.csv``) where it has rows of several
    budgets in both arms, ``missing`` where cells have no result, ``published`` (as ``.csv``, too)
    where others published figures of the same, and ``calibration`` (its ``.csv`` beside the
    others) where the grid has a placebo arm. The LaTeX needs no package but
    booktabs.

    Args:
        comparison: what to write.
        out: folder, made if it does not exist.
        provenance: what the numbers come from, as of ``summarize_provenance``; written to
            ``provenance.json`` and named under each Markdown table.

    Returns:
        The files written.
    """
    shown = views(comparison, provenance)
    texts = {
        "comparison.csv": _csv(comparison.main),
        "pooled.csv": _csv(comparison.pooled),
        "claims.csv": _csv(comparison.claims),
    }
    if len(comparison.ladder):
        texts["ladder.csv"] = _csv(comparison.ladder)
    beside = comparison.published
    if beside is not None and beside.covered:
        texts["tables/published.csv"] = _csv(beside.rows)
    if comparison.calibration is not None:
        texts["calibration.csv"] = _csv(comparison.calibration)
    if comparison.entries is not None:
        texts[ENTRIES] = _csv(comparison.entries)
    if comparison.solvers is not None:
        texts[SOLVERS] = _csv(comparison.solvers)
    source = _source(provenance)
    for name, tables in shown.items():
        texts[f"tables/{name}.md"] = f"# {HEADINGS[name]}\n\n{source}{_markdown(tables)}"
        texts[f"tables/{name}.tex"] = _latex(tables)
    sections = [f"## {HEADINGS[name]}\n\n{_markdown(tables)}" for name, tables in shown.items()]
    texts["tables/comparison.md"] = "# Comparison\n\n" + source + "\n".join(sections)
    texts["tables/comparison.tex"] = "\n".join(_latex(tables) for tables in shown.values())

    for name, text in texts.items():
        atomic_write_text(out / name, text)
    passing = ["missing.md", "missing.tex", "published.csv", "published.md", "published.tex"]
    passing += ["calibration.md", "calibration.tex", "ladder.md", "ladder.tex"]
    due = {"calibration.csv", "ladder.csv", ENTRIES, SOLVERS}
    due |= {f"tables/{name}" for name in passing}
    for name in due - {*texts}:
        (out / name).unlink(missing_ok=True)  # of the cells that were there before
    write_json(out / "provenance.json", provenance)
    return [out / name for name in (*sorted(texts), "provenance.json")]


def views(comparison: Comparison, provenance: Mapping[str, Any]) -> dict[str, list[TextTable]]:
    """All tables of a comparison, by the keys of :data:`HEADINGS`; those alone that the grid has.

    Args:
        comparison: what the grid measured.
        provenance: as of ``summarize_provenance``.
    """
    found = {
        "pooled": [pooled_table(comparison.pooled)] if len(comparison.pooled) else [],
        "claims": [
            *claim_tables(comparison.claims),
            *paper_tables(comparison.main),
            *untested(comparison.main),
        ],
        "accuracy": accuracy_tables(comparison.main),
        "acceleration": acceleration_tables(comparison.main),
        "cost": cost_tables(comparison.main),
    }
    if len(comparison.ladder):
        found["ladder"] = [ladder_table(comparison.ladder)]
    if methods := method_tables(comparison.main):
        found["methods"] = methods
    if lacking := without_result(provenance):
        found["missing"] = lacking
    beside = comparison.published
    if beside is not None and beside.covered:
        found["published"] = published_tables(beside)
    if comparison.calibration is not None:
        found["calibration"] = [calibration_table(comparison.calibration)]
    return found


def load_comparison(out: Path) -> Comparison:
    """Read the comparison that ``write_tables`` wrote into ``out``.

    Raises:
        UserError: a file is missing or no table of this kind.
    """
    import pandas as pd

    return Comparison(
        main=_read(out / "comparison.csv"),
        claims=_read(out / "claims.csv"),
        pooled=_read(out / "pooled.csv"),
        ladder=_read(out / "ladder.csv") if (out / "ladder.csv").exists() else pd.DataFrame(),
        entries=_read(out / ENTRIES, ENTRY) if (out / ENTRIES).exists() else None,
        solvers=_read(out / SOLVERS, SOLVER) if (out / SOLVERS).exists() else None,
    )


def _csv(frame: pd.DataFrame) -> str:
    # Ten digits: more than any statistic holds, fewer than where machines begin to differ.
    return frame.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def _read(path: Path, needed: str = "correction") -> pd.DataFrame:
    import pandas as pd

    text = [*AXES, "recipe", "source", AXIS, ENTRY, SOLVER]
    text += ["claim", "measure", "budget", "verdict", "sentence", "cpu_capability"]
    text += ["family", "budgets_plain", "budgets_corrected", "cost"]
    try:
        header = pd.read_csv(path, nrows=0).columns
        text = [name for name in header if name in text or name.endswith("_verdict")]
        frame = pd.read_csv(path, dtype=dict.fromkeys(text, "string"), na_values=[""])
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a comparison: {error}") from error
    if needed not in text:
        raise UserError(f"{path} is not a comparison: it lacks the column {needed!r}")
    return frame.assign(**{name: frame[name].fillna("").astype(object) for name in text})


def _source(provenance: dict[str, Any]) -> str:
    if not provenance:
        return ""
    named = [f"{provenance['cells']} cells"]
    if lacking := provenance.get("without_result"):
        named[0] += f", {len(lacking)} of them without a result"
    for key in ("agc", "git_commit", "torch"):
        values = provenance.get(key) or []
        if values:
            named.append(f"{key} {', '.join(value[:12] for value in values)}")
    return f"From {'; '.join(named)} (all in `../provenance.json`).\n\n"


def _markdown(tables: list[TextTable]) -> str:
    """The tables one after the other, a caption once above all that share it."""
    parts = [] if tables else ["Nothing to compare.\n"]
    caption = ""
    for table in tables:
        if table.caption != caption:
            caption = table.caption
            parts.append(escape_markdown(caption) + "\n")
        parts.append(markdown(table))
    return "\n".join(parts)


def _latex(tables: list[TextTable]) -> str:
    return "\n".join(map(latex, tables)) if tables else "% Nothing to compare.\n"
