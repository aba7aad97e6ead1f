"""The page of a study: what was measured, on which machine, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc.files import atomic_write_text
from agc.grids.cell import REVISION
from agc.reports.machines import describe_machine
from agc.reports.predictions import FILE as PREDICTIONS
from agc.reports.predictions import summarize
from agc.reports.tables.calibration import HEADING, WITHOUT, calibration_table, unmoved
from agc.reports.tables.costs import cost_table
from agc.reports.tables.formatting import MISSING
from agc.reports.tables.ladder import SHOWN, ladder_table
from agc.reports.tables.markup import TextTable, escape_markdown, markdown_rows
from agc.reports.tables.overview import COLUMNS, describe, name_row, overview_cells
from agc.reports.tables.pooled import pooled_table
from agc.reports.tables.predictions import HEADING as HEADING_OF_STEPS
from agc.reports.tables.predictions import prediction_table, refusal_lines
from agc.reports.tables.tuning import tuning_sentence, tuning_table

if TYPE_CHECKING:
    import pandas as pd

    from agc.reports.compare import Comparison

FILES = """\
- `comparison.csv`: every number of every row, as fractions; `pooled.csv`: all rows of a task
  together, in points; `claims.csv`: the paper's claims beside them.
- `records.parquet`: a row for each cell, with its labels, results, costs and provenance;
  `epochs.parquet`: a row for each cell and epoch.
- `provenance.json`: versions, commits, machines and times.
"""
ENTRIES = "- `entries.csv`: each entry of a later axis against the one it is measured by.\n"
SOLVERS = "- `solvers.csv`: what attacks on equilibrium networks reached, by arm and budget.\n"
LADDER = "- `ladder.csv`: epochs and units to equal error, over budgets.\n"


def write_readme(
    comparison: Comparison,
    out: Path,
    provenance: dict[str, Any],
    name: str,
    description: str = "",
    pictures: list[Path] | None = None,
    tuning: pd.DataFrame | None = None,
    entries: list[tuple[str, TextTable]] | None = None,
    costs: pd.DataFrame | None = None,
    steps: pd.DataFrame | None = None,
) -> Path:
    """Write ``README.md`` of a report folder; returns its path.

    Args:
        comparison: what the grid measured.
        out: the folder.
        provenance: as of ``summarize_provenance``.
        name: the grid's.
        description: the grid's, in one line.
        pictures: figures to show, files in ``out``.
        tuning: how learning rates were chosen, as of :func:`agc.reports.tuning.choose`.
        entries: headings and tables of what only some grids have: entries of later axes, solvers.
        costs: of cells, predicted and measured, as of :func:`agc.reports.costs.compare_costs`.
        steps: the same of steps to a loss, as of :func:`agc.reports.predictions.steps_table`.
    """
    main = comparison.main
    parts = [f"# {name}", _sentence(description), escape_markdown(source(main, provenance))]
    if len(comparison.pooled):
        table = pooled_table(comparison.pooled)
        parts += [escape_markdown(table.caption), markdown_rows(table).rstrip("\n")]
    if len(comparison.ladder):
        table = ladder_table(comparison.ladder, SHOWN)
        parts += [escape_markdown(table.caption), markdown_rows(table).rstrip("\n")]
    for heading, table in entries or []:
        parts += [f"## {_sentence(heading).rstrip('.')}", escape_markdown(table.caption)]
        parts.append(markdown_rows(table).rstrip("\n"))
    parts.append(describe(main))
    parts.append(markdown_rows(_table(main)).rstrip("\n"))
    parts += _calibration(comparison.calibration)
    parts += [f"![{path.stem.partition('-')[0]}]({path.name})" for path in pictures or []]
    if tuning is not None:
        table = tuning_table(tuning)
        parts += [tuning_sentence(tuning), escape_markdown(table.caption)]
        parts.append(markdown_rows(table).rstrip("\n"))
    if steps is not None:
        parts += _predictions(steps)
    if costs is not None:
        table = cost_table(costs)
        parts += ["## Predicted and measured cost", escape_markdown(table.caption)]
        parts.append(markdown_rows(table).rstrip("\n"))
    parts.append("The files:\n\n" + _files(comparison))
    parts.append(
        "More tables (Markdown, LaTeX, HTML) and the learning curves are drawn from these files, "
        f"without training:\n\n    agc compare {name} --from reports/{name}"
    )
    path = out / "README.md"
    atomic_write_text(path, "\n\n".join(part for part in parts if part) + "\n")
    return path


def _files(comparison: Comparison) -> str:
    more = LADDER * bool(len(comparison.ladder)) + ENTRIES * (comparison.entries is not None)
    more += SOLVERS * (comparison.solvers is not None)
    return (FILES + more).rstrip("\n")


def _calibration(found: pd.DataFrame | None) -> list[str]:
    """The section on the placebo arm; one sentence if there is none."""
    if found is None:
        return [WITHOUT]
    table = calibration_table(found)
    rows = markdown_rows(table).rstrip("\n")
    numbers = "All of it with every digit: `calibration.csv`."
    return [f"## {HEADING}", escape_markdown(table.caption), rows, unmoved(found), numbers]


def _predictions(steps: pd.DataFrame) -> list[str]:
    """The section on predicted steps."""
    table, refused = prediction_table(summarize(steps)), refusal_lines(steps)
    parts = [f"## {HEADING_OF_STEPS}", escape_markdown(table.caption)]
    parts.append(markdown_rows(table).rstrip("\n"))
    if refused:
        parts.append("\n".join(f"- {escape_markdown(line)}" for line in refused))
    return [*parts, f"Every cell and target: `{PREDICTIONS}`."]


def _table(main: pd.DataFrame) -> TextTable:
    """All rows of the comparison; of task and recipe, what is not the same in all of them, and no
    column that is empty throughout.
    """
    keys = [key for key in shared_columns(main) if main[key].nunique() > 1]
    header = [*keys, "method", "correction", *(name for name, _ in COLUMNS)]
    rows = [
        [*(getattr(row, key) for key in keys), *name_row(row), *overview_cells(row)]
        for row in (main.sort_values(keys, kind="stable") if keys else main).itertuples()
    ]
    told = [i for i in range(len(header)) if any(row[i] != MISSING for row in rows)]
    labels = sum(index < len(keys) + 2 for index in told)
    rows = [[row[index] for index in told] for row in rows]
    return TextTable("", "", [header[index] for index in told], rows, labels=labels)


def shared_columns(main: pd.DataFrame) -> list[str]:
    """What a row is of, beside its method and correction: the columns before the correction."""
    names = main.columns[: main.columns.get_loc("correction")]
    return [name for name in names if name not in ("method", "sparsity")]


def _sentence(text: str) -> str:
    text = escape_markdown(text.strip())
    return text[:1].upper() + text[1:].rstrip(".") + "." if text else ""


def source(main: pd.DataFrame, provenance: Mapping[str, Any]) -> str:
    """Cells, machines, versions and times in words."""
    shared = [main[key].iloc[0] for key in shared_columns(main) if main[key].nunique() == 1]
    cells = f"{provenance['cells']} cells of {', '.join(name for name in shared if name)}"
    cells = cells if any(shared) else f"{provenance['cells']} cells"
    counts = [cells, f"seeds {', '.join(map(str, provenance['seeds']))}"]
    if provenance["diverged"]:
        counts.append(f"{provenance['diverged']} diverged")
    if lacking := provenance.get("without_result"):
        counts.append(f"{len(lacking)} without a result")
    machines = " and on ".join(map(describe_machine, provenance["machines"]))
    commits = ", ".join(commit[:12] for commit in provenance["git_commit"]) or "unknown"
    versions = [f"{key} {', '.join(provenance[key])}" for key in ("agc", "python", "torch")]
    changed = " with uncommitted changes" if provenance["git_dirty"] else ""
    began, ended = (_moment(provenance[key]) for key in ("started", "finished"))
    return (
        f"{'; '.join(counts)}. Trained on {machines}, from {began} to {ended} UTC, in"
        f" {provenance['train_seconds'] / 60:.1f} minutes of training altogether; commit"
        f" {commits}{changed}; {', '.join(versions)}. Other machines round otherwise, and train"
        f" other weights from the same seeds.{_remarks(provenance)}{_revision(provenance)}"
    )


def _revision(provenance: Mapping[str, Any]) -> str:
    """That what cells compute has been mended since, if it has."""
    older = [revision for revision in provenance["revision"] if revision < REVISION]
    if not older:
        return ""
    return (
        f" These are cells of revision {', '.join(map(str, older))}; the present one is {REVISION},"
        " and gives some methods other numbers (see the page of all reports)."
    )


def _remarks(provenance: Mapping[str, Any]) -> str:
    """What cells of several instruction sets or cards are, if there are such."""
    found = provenance.get("remarks", [])
    return "".join(f" {remark[:1].upper()}{remark[1:]}." for remark in found)


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M}"
