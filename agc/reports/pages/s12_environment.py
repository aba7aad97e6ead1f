"""Environment: machines, versions, commits and times."""

from __future__ import annotations

from agc.grids.cell import REVISION
from agc.reports.machines import describe_machine
from agc.reports.pages.base import SECTIONS, Context
from agc.reports.pages.shared.blocks import Block, Items
from agc.reports.sources import VERSIONS
from agc.reports.tables.markup import escape_markdown

COMMIT = "git_commit"
LIBRARIES = {"onednn": "oneDNN", "mkl": "MKL", "blas": "BLAS"}


@SECTIONS.register("environment", place=12, title="Environment")
def environment(context: Context) -> list[Block]:
    """Where the cells were trained, by what, and when."""
    told = context.provenance
    lines = [f"machine: {describe_machine(machine)}" for machine in told["machines"]]
    lines += [f"{key}: {', '.join(told[key])}" for key in VERSIONS if key != COMMIT and told[key]]
    for name, shown in LIBRARIES.items():
        column = f"provenance_{name}"
        if column in context.records:
            known = sorted(set(context.records[column].dropna()))
            lines.append(f"{shown}: {', '.join(known)}")
    commits = ", ".join(commit[:12] for commit in told[COMMIT]) or "unknown"
    changed = " with uncommitted changes" if told["git_dirty"] else ", nothing uncommitted"
    lines.append(f"commit: {commits}{changed}")
    revisions = ", ".join(str(revision) for revision in told["revision"])
    lines.append(f"revision of what cells compute: {revisions} (at present {REVISION})")
    lines.append(f"trained from {_moment(told['started'])} to {_moment(told['finished'])} UTC")
    lines += [str(remark) for remark in told.get("remarks", [])]
    lines.append(
        "Other machines round otherwise, and train other weights from the same seeds: see how to"
        " check below."
    )
    return [Items([escape_markdown(line) for line in lines])]


def _moment(text: str) -> str:
    """To the minute."""
    return text[:16].replace("T", " ")
