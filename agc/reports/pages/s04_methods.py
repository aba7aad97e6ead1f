"""Methods: arms, pairing, splits, budgets, margins, families and the stopping rule."""

from __future__ import annotations

from typing import Any

from agc.errors import UserError
from agc.grids.files import GridFile, Recipe, read_file
from agc.places import find_file
from agc.registry import CORRECTIONS
from agc.reports.pages.base import SECTIONS, Context
from agc.reports.pages.shared.blocks import Block, Items, Table
from agc.reports.tables.formatting import MISSING, number
from agc.reports.tables.markup import TextTable, escape_markdown

SETTINGS = ("epochs", "batch_size", "images", "validation", "split")
STAGES = "What each stage is, its recipe, its cells and their seeds."
RECIPES = "Settings of the recipes; a stage may change some of them for some of its cells."


@SECTIONS.register("methods", place=4, title="Methods")
def methods(context: Context) -> list[Block]:
    """Rules in words, stages and recipes as tables."""
    margin = context.margin
    confirmatory = [f.hypothesis.key for f in context.findings if f.hypothesis.confirmatory]
    preregistered = context.preregistered
    lines = [
        "Arms: " + "; ".join(_arms(context)) + ".",
        "Pairing: runs of one seed share initial weights, masks, images, batches and the draw of"
        " the validation images. Differences are paired by seed.",
        "Estimates: the mean over rows, each counting the same, with a 95 % t interval and"
        " Satterthwaite's degrees of freedom; a ladder's are from a bootstrap over seeds.",
        f"Margins: {number(margin.accuracy, 2)} points of accuracy,"
        f" {number(margin.robust, 2)} of robust accuracy, a ratio of epochs of"
        f" {number(margin.epochs, 2)}; where a hypothesis has another, its rule says so.",
        f"Families: the p values of {', '.join(confirmatory)} are adjusted by Holm. All else is"
        " exploratory; rows are adjusted by Benjamini and Hochberg.",
        "Stopping: seeds are trained in blocks, all stages in one before any in the next, and"
        " verdicts are read when a block is complete"
        + (f" (see [{preregistered}]({preregistered}))." if preregistered else "."),
        "Test images select nothing: validation images choose learning rates and epochs.",
    ]
    blocks: list[Block] = [Items(lines), Table(_stages(context))]
    recipes = _recipes(context)
    return [*blocks, Table(recipes)] if recipes.rows else blocks


def _arms(context: Context) -> list[str]:
    names = sorted({label.partition("(")[0] for label in context.records["correction"]})
    return [f"`{name}`, {_summary(name)}" for name in names]


def _summary(name: str) -> str:
    if name not in CORRECTIONS.names():
        return "which is not installed here"
    text = CORRECTIONS[name].summary.partition(". ")[0].rstrip(".").replace("``", "")
    return escape_markdown(text[:1].lower() + text[1:])


def _stages(context: Context) -> TextTable:
    rows = []
    for name, slugs in sorted(context.study.stages.items()):
        file = context.stage_files.get(name)
        own = context.records[context.records["slug"].isin(slugs)]
        seeds = ", ".join(str(seed) for seed in sorted({int(seed) for seed in own["seed"]}))
        recipe = MISSING if file is None else ", ".join(file.recipes)
        text = MISSING if file is None else file.description
        data, network = (listed_entries(file, axis) for axis in ("dataset", "architecture"))
        rows.append([name, text, data, network, recipe, str(len(slugs)), seeds or MISSING])
    header = ["stage", "what", "data", "network", "recipe", "cells", "seeds"]
    return TextTable("Stages", STAGES, header, rows, labels=5, wrapped=(1,))


def listed_entries(file: GridFile | None, axis: str) -> str:
    """What a grid file lists on an axis, each with the options that it gives; then what its
    further cells have.
    """
    if file is None:
        return MISSING
    found = list(file.entries(axis))
    for fields in file.include:
        given = fields.get(axis, [])
        found += given if isinstance(given, list) else [given]
    return ", ".join(dict.fromkeys(map(_named, found)))


def _named(entry: Any) -> str:
    if isinstance(entry, str):
        return entry
    options = ", ".join(f"{key}={value}" for key, value in entry.items() if key != "name")
    return f"{entry['name']}({options})" if options else entry["name"]


def _recipes(context: Context) -> TextTable:
    names = sorted({name for file in context.stage_files.values() for name in file.recipes})
    rows = []
    for name in names:
        try:
            training = read_file(find_file("recipes", name), Recipe).training
        except UserError:
            continue
        rate = training.get("optimizer", {}).get("lr")
        schedule = training.get("schedule", {}).get("name")
        settings = [training.get(key) for key in SETTINGS]
        rows.append([name, *map(_told, [*settings, rate, schedule])])
    header = ["recipe", "epochs", "batch", "training images", "validation images", "split by"]
    return TextTable("Recipes", RECIPES, [*header, "learning rate", "schedule"], rows)


def _told(value: Any) -> str:
    return MISSING if value is None else str(value)
