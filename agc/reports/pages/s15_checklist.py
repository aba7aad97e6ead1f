"""A checklist of reproducibility, and what limits the answers."""

from __future__ import annotations

from agc.reports.pages.base import SECTIONS, Context
from agc.reports.pages.shared.blocks import Block, Heading, Items
from agc.reports.pages.shared.stages import stage_counts
from agc.reports.verdict import NOT_RUN


@SECTIONS.register("checklist", place=15, title="Checklist and limitations")
def checklist(context: Context) -> list[Block]:
    """Each item with yes or no as the data have it."""
    told, counts = context.provenance, stage_counts(context).iloc[-1]
    seeds = context.records.groupby("correction")["seed"].nunique()
    unasked = [f.hypothesis.key for f in context.findings if f.word == NOT_RUN]
    complete = counts["planned"] == counts["finished"] + counts["diverged"]
    items = [
        (bool(context.preregistered), "hypotheses, margins and rules were written down before"),
        (context.tuning is not None, "each arm's learning rate had the same budget"),
        (complete, "every planned cell has been run"),
        (not unasked, "every hypothesis has been run"),
        (len(told["git_commit"]) == 1, "all cells are of one commit"),
        (not told["git_dirty"], "no cell was trained with uncommitted changes"),
        (len(told["machines"]) == 1, "all cells are of one kind of machine"),
        (context.comparison.calibration is not None, "an arm without an effect shows what none is"),
        (True, "data of every cell and epoch, and code of every table, are public"),
        (True, "diverged and unfinished cells are named"),
    ]
    limits = [
        f"Between {int(seeds.min())} and {int(seeds.max())} seeds an arm: smaller effects than the"
        " detectable ones stay unseen.",
        "Small networks and images: what holds here may not hold for larger ones.",
        "Rows share their data set and mostly their network: they are no independent witnesses.",
        "FLOPs are idealised: nothing here ran faster for its zeros.",
        "The paper's authors were not asked about its settings; their published code was read.",
    ]
    lines = [f"{'yes' if met else 'no'}: {text}" for met, text in items]
    return [Items(lines), Heading("Limitations"), Items(limits)]
