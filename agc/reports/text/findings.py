"""What a study finds, in its verdicts' own words: the answer of a grid as text."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agc.errors import UserError
from agc.reports.arms import PLACEBO, PLAIN
from agc.reports.claims import PAPER
from agc.reports.families import expected_best_of
from agc.reports.labels import task_columns
from agc.reports.machines import describe_machine
from agc.reports.paper_metrics import BUDGETS
from agc.reports.statistics import summarize
from agc.reports.tables.formatting import percent, sparsity
from agc.reports.tables.ladder import ladder_lines
from agc.reports.tables.pooled import pooled_lines
from agc.reports.text.effects import Effect, Judged, effects, judge_rows
from agc.reports.text.study import Study, items, load_study, paragraph, span, table

if TYPE_CHECKING:
    from numpy.typing import NDArray

Rows = list[tuple[Effect, Judged]]


def paper(reports: Path) -> str:
    """The paper's two headline numbers, with what they are means of."""
    gap, fewer = PAPER["A budgets"].paper, -PAPER["B levels"].paper
    last, top = PAPER["A"].paper, PAPER["B"].paper
    return paragraph(
        f'It claims "up to {gap:.1f} %" more accuracy at equal epochs (we read % as points) and'
        f' "up to {fewer:.1f} %" fewer epochs to equal accuracy. Both are means: the one over'
        f" {len(BUDGETS)} epochs within a training (at the last it is {last:+.1f}), the other over"
        f" levels of accuracy (at the highest it is {top:+.1f} %), and both are BSR-Net's in"
        " standard training at 99 % sparsity."
    )


def answer(reports: Path, name: str) -> str:
    """All rows of a grid: final test accuracy of both arms, difference, verdict."""
    study = load_study(reports, name)
    rows = _rows(study)
    keys = [key for key in task_columns(study.records.columns) if study.records[key].nunique() > 1]
    arms = {effect.arm for effect, _ in rows}
    several = ["correction"] if len(arms) > 1 else []
    header = [*keys, "method", "sparsity", *several, PLAIN]
    header += ["corrected" if several else "".join(arms), "difference", "verdict"]
    lines = [
        [
            *(effect.labels[key] for key in keys),
            effect.labels["method"],
            sparsity(effect.labels["sparsity"]),
            *([effect.arm] if several else []),
            _mean(effect.base),
            _mean(effect.corrected),
            difference(judged),
            judged.word,
        ]
        for effect, judged in rows
    ]
    pairs = span([len(effect.differences) for effect, _ in rows], 0)
    caption = paragraph(
        "Final test accuracy in percent, mean ± standard deviation; *difference* in points over"
        f" {pairs} pairs that share seed, initial weights, masks and batches, with a 95 % interval"
        " of the spread that all rows of a sparsity share; *(raw)*: a verdict that Benjamini"
        " and Hochberg's adjustment over the rows of a task and correction takes away."
    )
    return f"{caption}\n\n{table(header, lines, labels=len(keys) + 2 + len(several))}"


def findings(reports: Path, name: str) -> str:
    """All rows together, what nothing looks like, and what could have been found."""
    study = load_study(reports, name)
    machines = " and ".join(map(describe_machine, study.provenance["machines"]))
    texts = [
        verdicts(reports, name),
        _rows_in_words(_rows(study)),
        paragraph(
            f"Trained on {machines}. Another CPU redraws every cell in its last bits, which moves"
            f" a row as another seed would: `agc compare {name} --against reports/{name}` tells"
            " whether yours says the same. None of it holds for other scales."
        ),
    ]
    return "\n\n".join(filter(None, texts))


def verdicts(reports: Path, name: str) -> str:
    """The pooled differences of a study, each in its verdict's sentence."""
    study = load_study(reports, name)
    placebo = study.pooled["correction"] == PLACEBO
    lines = pooled_lines(study.pooled[~placebo])
    # A placebo costs what a plain run costs: it has no other budget.
    nothing = study.pooled[placebo & (study.pooled["budget"] == "epochs")]
    lines += [f"What no effect looks like: {line}" for line in pooled_lines(nothing)]
    return items([f"{line}." for line in lines])


def ladder(reports: Path, name: str) -> str:
    """Epochs and units to equal error, all rows of a study together, the placebo's last.

    Raises:
        UserError: no arm of the study was trained for several budgets.
    """
    found = load_study(reports, name).ladder
    together = found[found["method"] == ""]
    lines = together if len(together) else found
    if not len(lines):
        raise UserError(f"the study {name!r} has no ladder of budgets")
    nothing = lines["correction"] == PLACEBO
    texts = ladder_lines(lines[~nothing])
    texts += [f"What no effect looks like: {line}" for line in ladder_lines(lines[nothing])]
    return items([f"{line}." for line in texts])


def difference(judged: Judged, digits: int = 2) -> str:
    """``+0.28 [-1.10, +1.66]`` in points."""
    numbers = [100 * value for value in (judged.row.mean, judged.row.low, judged.row.high)]
    mean, low, high = (f"{value + 0.0:+.{digits}f}" for value in numbers)
    return mean if np.isnan(judged.row.low) else f"{mean} [{low}, {high}]"


def _rows(study: Study) -> Rows:
    """The rows of each correction but the placebo; a family is those of a task and correction."""
    names = sorted(set(study.records["correction"]) - {PLAIN, PLACEBO})
    found: Rows = []
    for name in names:
        every = effects(study.records, name)
        for _, group in groupby(every, key=lambda effect: effect.task):
            family = list(group)
            judged = judge_rows(family, study.margin("accuracy"), "fdr_bh")
            found += zip(family, judged, strict=True)
    return found


def _rows_in_words(rows: Rows) -> str:
    """How many rows differ, and what they could have shown."""
    known = [(effect, judged) for effect, judged in rows if not np.isnan(judged.row.mde)]
    if not known:
        return ""
    differ = sum(judged.clear for _, judged in known)
    detectable = [100 * judged.row.mde for _, judged in known]
    room = [100 * (1 - effect.base.mean()) for effect, _ in known]
    beyond = sum(effect > left for effect, left in zip(detectable, room, strict=True))
    largest = max(known, key=lambda pair: pair[1].row.mean)
    chance = expected_best_of([judged.row.se for _, judged in known]).mean
    return paragraph(
        f"After Benjamini and Hochberg's adjustment {differ} of {len(known)} rows differ from 0."
        f" A row finds a gain of {span(detectable)} points four times in five, and has"
        f" {span(room)} points left to 100 %; in {beyond} of {len(known)} a gain that is found so"
        " surely does not fit in. The largest difference of a row is"
        f" {100 * largest[1].row.mean:+.2f}; without any effect the largest of {len(known)} is"
        f" {100 * chance:+.2f} on average."
    )


def _mean(values: NDArray[np.float64]) -> str:
    mean, sd, n = summarize(values)
    return f"{percent(mean)} ± {percent(sd)}" if n > 1 else percent(mean)
