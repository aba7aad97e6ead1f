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
from agc.grids.files import Recipe, read_file
from agc.grids.grid import load_grid
from agc.places import find_file
from agc.planning.prediction import estimate
from agc.registry import CORRECTIONS, DATASETS
from agc.reports.claims import PAPER
from agc.reports.families import adjusted, expected_best_of, many_to_one
from agc.reports.pages.base import Context
from agc.reports.pages.s04_methods import listed_entries
from agc.reports.pages.s06_deviations import behaviours, without_title
from agc.reports.pages.shared.variants import read_otherwise
from agc.reports.paper_metrics import BUDGETS
from agc.reports.pooled import pooled
from agc.reports.tables.hypotheses import parts_frame
from agc.reports.tables.systems import read_systems
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


def of_study_page(context: Context) -> Values:
    """What the page of a study in stages may be made of."""
    records, comparison = context.records, context.comparison
    frames = [parts_frame(context.findings)]
    frames += [parts_frame(found) for found in read_otherwise(context.study).values()]
    found = [of_hypotheses(frame) for frame in frames]
    found += [of_frame("ladder", comparison.ladder), of_frame("", comparison.calibration)]
    status = records.set_index("slug")["status"]
    stages = dict(context.study.stages)
    stages["all"] = frozenset().union(*stages.values())
    for slugs in stages.values():
        own = records[records["slug"].isin(slugs)]
        counts = [(status[status.index.isin(slugs)] == kind).sum() for kind in set(status)]
        known = [len(slugs), len(own), len(slugs) - len(own), *counts]
        seconds = [own["seconds_train"].sum(), own["seconds_total"].sum()]
        flops = own["training_flops"].sum()
        relative = flops / own["dense_training_flops"].sum() if len(own) else 0
        spent = [own["units"].sum(), flops / 1e12, relative, *(part / 3600 for part in seconds)]
        found.append(values([int(count) for count in known], spent))
    main = comparison.main
    ends = ("low", "high"), ("low_pooled", "high_pooled")
    for low, high in ends:
        sides = main[f"accuracy_difference_{low}"], main[f"accuracy_difference_{high}"]
        found.append(values(int(((sides[0] > 0) | (sides[1] < 0)).sum())))
    clear = int((main["accuracy_difference_p_bh"] < 0.05).sum())
    rows = int(main["accuracy_difference_low"].notna().sum())
    runs = sum(len(text.split()) for text in context.tuning["seeds"])
    cost = [context.tuning["units"].sum(), context.tuning["seconds"].sum() / 3600]
    found += [values(clear, rows, runs, cost, REVISION, context.margin.model_dump())]
    found += [values(context.tuning, scales=(1, 100)), PUBLISHED, values(context.provenance)]
    beside = comparison.published
    found.append(values(beside.total, beside.covered, beside.lacking))
    found.append(values([0.9, 0.95, 0.98], scales=(1, 100)))
    found.append(values(records[["seed", "epochs"]], sorted(records.groupby("correction").size())))
    for name in {recipe for file in context.stage_files.values() for recipe in file.recipes}:
        found.append(values(read_file(find_file("recipes", name), Recipe).training))
    for name in {label.partition("(")[0] for label in records["dataset"]}:
        facts = DATASETS[name].facts
        found.append(values({key: facts[key] for key in ("shape", "classes", "train", "test")}))
    return np.unique(np.concatenate(found))


def of_hypotheses(frame: pd.DataFrame) -> Values:
    """Numbers of estimates: points of fractions, ratios as they are and as changes in percent."""
    ratio = frame["unit"].astype(str).str.startswith("%")
    ends = ["value", "low", "high", "low90", "high90"]
    changes = 100 * (frame.loc[ratio, [*ends, "margin", "detectable"]] - 1)
    other = 100 * (1 / frame.loc[ratio, "margin"] - 1)
    points = 100 * frame.loc[~ratio, [*ends, "margin", "detectable"]]
    own = frame.loc[ratio, ["margin", "detectable"]]
    plain = frame[["p", "p_holm", "rows", "pairs"]]
    return values(changes, list(other), points, own, plain)


def named_on_study_page(context: Context) -> set[str]:
    """Labels, questions, rules, names of stages and entries, and what others wrote."""
    texts = set(strings([context.records.to_dict("list"), dict(context.provenance)]))
    texts |= {text[:12] for text in context.provenance["git_commit"]}
    texts |= {text[:16].replace("T", " ") for text in texts if re.match(r"\d{4}-\d\d-\d\dT", text)}
    for found in context.findings:
        own = found.hypothesis
        texts |= {own.key, own.asks, own.reads, own.holds, own.fails}
        texts |= {part.what for part in found.parts}
    texts |= {file.description for file in context.stage_files.values()}
    texts |= {name for file in context.stage_files.values() for name in file.recipes}
    texts |= {slug for slugs in context.study.stages.values() for slug in slugs}
    for file in context.stage_files.values():
        for axis in ("dataset", "architecture"):
            texts |= set(listed_entries(file, axis).split(", "))
    for registry in (CORRECTIONS, DATASETS):
        texts |= {text for name in registry.names() for text in _summaries(registry[name])}
    texts |= set(without_title(context.deviations).splitlines()) - {""}
    texts |= {f"`{name}`" for name in behaviours()} | set(behaviours().values())
    return {text for text in texts if re.search("[^0-9. ]", text) or "." in text[2:-1]}


def named_systems() -> set[str]:
    """Sources of the ten systems, and what their papers claim."""
    return {line[key] for line in read_systems() for key in ("source", "claim")}


def _summaries(entry: Any) -> Iterator[str]:
    yield entry.summary
    text = entry.summary.partition(". ")[0].rstrip(".").replace("``", "")
    yield text[:1].lower() + text[1:]
    yield entry.name


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
