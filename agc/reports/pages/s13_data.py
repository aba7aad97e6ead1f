"""Data sheets: name, source, checksums, sizes and classes of each data set."""

from __future__ import annotations

from typing import Any

from agc.registry import DATASETS
from agc.reports.pages.base import SECTIONS, Context
from agc.reports.pages.shared.blocks import Block, Heading, Items
from agc.reports.tables.formatting import number
from agc.reports.tables.markup import escape_markdown

SIZES = {"train": "training images", "test": "test images", "classes": "classes"}


@SECTIONS.register("data", place=13, title="Data")
def data(context: Context) -> list[Block]:
    """A sheet for each data set that a cell has."""
    names = sorted({label.partition("(")[0] for label in context.records["dataset"]})
    return [block for name in names for block in _sheet(context, name)]


def _sheet(context: Context, name: str) -> list[Block]:
    labels = sorted({label for label in context.records["dataset"] if _name(label) == name})
    lines = [f"used as {escape_markdown(', '.join(labels))}"]
    if name not in DATASETS.names():
        return [Heading(name), Items([*lines, "It is not installed here: nothing else is known."])]
    entry = DATASETS[name]
    facts = entry.facts
    lines.append(escape_markdown(entry.summary))
    if shape := facts.get("shape"):
        lines.append(f"images of {' × '.join(map(str, shape))} (channels, height, width)")
    counts = [f"{number(facts[key])} {word}" for key, word in SIZES.items() if key in facts]
    lines += [", ".join(counts)] if counts else []
    if "tested_by_seed" in facts:
        option = facts["tested_by_seed"]
        lines.append(f"with `{option}`, seeds differ in what they are tested on")
    source = facts.get("source")
    lines += _files(source) if source is not None else ["no file to fetch: it comes with a library"]
    lines.append("licence: that of its source; no image is in this repository")
    return [Heading(name), Items(lines)]


def _name(label: str) -> str:
    return label.partition("(")[0]


def _files(source: Any) -> list[str]:
    """Each published file with its checksum."""
    lines = []
    if source.package:
        lines.append(f"system package `{source.package}`")
    for file in source.originals():
        where = f", {file.urls[-1]}" if file.urls else ""
        lines.append(f"`{file.name}`: MD5 `{file.md5}`{escape_markdown(where)}")
    return lines
