"""What the numbers of each generated text may be made of: frames, provenance, or made anew."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agc.grids.cell import REVISION
from agc.grids.grid import load_grid
from agc.planning.prediction import estimate
from agc.reports.claims import PAPER
from agc.reports.families import adjusted, expected_best_of, many_to_one
from agc.reports.paper_metrics import BUDGETS
from agc.reports.pooled import pooled
from agc.reports.text.effects import effects, judge_rows
from tests.support.generated_texts import GRID, LADDER, Made
from tests.support.printed_numbers import Values, values

ARMS = ("agc", "placebo")
PUBLISHED = values([(claim.paper, -claim.paper) for claim in PAPER.values()])
"""The paper's numbers; of "fewer epochs" without their sign."""


def of_frame(name: str, frame: pd.DataFrame | None) -> Values:
    """What texts may make of a frame: accuracies and shares in percent, ratios as changes."""
    if frame is None or not len(frame):
        return values()
    if name == "pooled":
        return values(frame)
    if name != "ladder":
        return values(frame, scales=(1, 100))
    ratios = frame[["ratio", "low", "high", "low90", "high90", "detectable", "paper", "margin"]]
    ratios = ratios.assign(other=1 / ratios["margin"])
    errors = frame[["overlap_low", "overlap_high"]]
    return values(frame, ratios, 100 * (ratios - 1), 100 * errors, 100 * frame[["sparsity"]])


def named(made: Made) -> set[str]:
    """Labels, versions, commits, and moments to the minute."""
    texts = set(strings([made.records.to_dict("list"), made.provenance]))
    moments = {
        f"{datetime.fromisoformat(made.provenance[key]).astimezone(UTC):%Y-%m-%d %H:%M}"
        for key in ("started", "finished")
    }
    texts |= {text[:12] for text in made.provenance["git_commit"]} | moments
    return {text for text in texts if re.search("[^0-9. ]", text) or "." in text[2:-1]}


def strings(source: Any) -> Iterator[str]:
    if isinstance(source, str):
        yield source
    elif isinstance(source, dict | list):
        for item in source.values() if isinstance(source, dict) else source:
            yield from strings(item)


def of_provenance(made: Made) -> Values:
    return values(made.provenance, made.provenance["train_seconds"] / 60, REVISION)


def of_block(name: str, studies: dict[str, Made]) -> Values:
    """What a block's numbers may be made of, beside the pooled estimates."""
    made = studies[LADDER if name == "ladder" else GRID]
    records, main = made.records, made.comparison.main
    plain = records[(records["correction"] == "none") & (records["status"] == "finished")]
    if name == "paper":
        return np.unique(np.concatenate([PUBLISHED, values(len(BUDGETS))]))
    if name == "ladder":
        return of_frame("ladder", made.comparison.ladder)
    if name in ("answer", "bsr"):
        robust = judged_rows(records, "robust", "holm") if name == "bsr" else []
        clear = sum(row.p < 0.05 for row in robust)
        numbers = [(100 * row.row.mean, 100 * row.row.low, 100 * row.row.high) for row in robust]
        means = [100 * e.base.mean() for c in ARMS for e in effects(records, c, measure="robust")]
        own = [row.p for row in robust], numbers, means, clear, len(robust)
        return values(main, *own, scales=(1, 100))
    if name == "findings":
        return np.unique(np.concatenate([of_findings(made), of_provenance(made)]))
    if name == "contrasts":
        renamed = records[records["correction"] != "none"]
        swap = {"placebo": "none"}
        found = pooled(renamed.assign(correction=renamed["correction"].replace(swap)))
        found = found[found["budget"] == "epochs"]
        return values(found, adjusted(found["p"], "holm"))
    if name == "by":
        parts = [pooled(part) for _, part in records.groupby("sparsity")]
        return values(*parts, [95, 98])
    if name == "corrections":
        units = records.groupby(["objective", "correction"])["units_per_epoch"].mean()
        return values(made.comparison.pooled, units.tolist())
    if name == "methods":
        groups = plain.groupby(["method", "sparsity"])
        flops = plain["training_flops"] / plain["dense_training_flops"]
        means = flops.groupby([plain["method"], plain["sparsity"]]).mean()
        accuracy = groups["final_test_accuracy"]
        return values(*accuracy.mean(), *accuracy.std(), *means, [0.95, 0.98], scales=(1, 100))
    if name == "dunnett":
        return of_dunnett(plain)
    if name in ("studies", "demo"):
        all_of = [one.records for one in studies.values()]
        counts = [(len(one), one["seed"].nunique()) for one in all_of]
        minutes = [one["seconds_total"].sum() / 60 for one in all_of]
        expected = estimate(load_grid(GRID), Path("nothing is finished here"))
        reference = re.findall(r"\d+(?:\.\d+)?", expected.source)
        told = (expected.cpu_seconds / 60, *map(float, reference))
        return values(counts, minutes, told, *(one["epochs"].tolist() for one in all_of))
    return values(made.comparison.pooled)


def judged_rows(records: pd.DataFrame, measure: str, how: Any) -> list[Any]:
    attacked = records[records["objective"] != "standard"] if measure == "robust" else records
    every = [effect for arm in ARMS for effect in effects(attacked, arm, measure=measure)]
    return judge_rows(every, 0.01, how)


def of_findings(made: Made) -> Values:
    """What rows could have shown, from the columns of the comparison."""
    main = made.comparison.main
    rows = main[main["correction"] == "agc"]
    detectable, room = rows["accuracy_difference_mde80"], rows["headroom"]
    counts = [len(rows), (rows["accuracy_difference_p_bh"] < 0.05).sum(), (detectable > room).sum()]
    family = effects(made.records, "agc")
    chance = expected_best_of([one.row.se for one in judge_rows(family, 0.01, "fdr_bh")]).mean
    largest = rows["accuracy_difference_mean"].max()
    points = [100 * np.array([*detectable, *room, largest, chance])]
    return values(made.comparison.pooled, *points, [int(count) for count in counts])


def of_dunnett(plain: pd.DataFrame) -> Values:
    numbers: list[Any] = [[95, 98]]
    for _, group in plain.groupby("sparsity"):
        arms = {key: runs["final_test_accuracy"] for key, runs in group.groupby("method")}
        if "set" not in arms:
            continue
        found = many_to_one(arms, arms.pop("set"))
        numbers += [(50 * (one.high - one.low), one.p) for one in found.values()]
        ends = [(one.difference, one.low, one.high) for one in found.values()]
        numbers.append(100 * np.array(ends))
        numbers += [len(found), sum(one.p < 0.05 for one in found.values())]
    return values(numbers)
