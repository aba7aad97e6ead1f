"""Deviations: from the preregistration, and from the paper and its published codes."""

from __future__ import annotations

import re
import sys
from typing import Any

from agc.registry import CORRECTIONS
from agc.reports.pages.base import SECTIONS, Context
from agc.reports.pages.shared.blocks import Block, Heading, Items, Text
from agc.reports.pages.shared.render import wrapped
from agc.reports.tables.markup import escape_markdown

CORRECTION = "agc"
OWN = "corrected"
NONE = "Nothing is told of deviations from a preregistration."


@SECTIONS.register("deviations", place=6, title="Deviations")
def deviations(context: Context) -> list[Block]:
    """What was changed afterwards, as written down; then what each variant restores."""
    blocks: list[Block] = [Heading("From the preregistration")]
    blocks += [Text(without_title(context.deviations)) if context.deviations else wrapped(NONE)]
    behaviours = _behaviours()
    if not behaviours:
        return blocks
    blocks += [
        Heading("From the paper and its published codes"),
        wrapped(
            f"`{CORRECTION}` departs from the published codes where they are biased or leak. Its"
            " option `variant` restores what the paper or a code has:"
        ),
        Items([f"`{name}`: {text}." for name, text in behaviours.items() if name != OWN]),
    ]
    return blocks


def without_title(text: str) -> str:
    """A file's text below its first heading, further headings one level lower."""
    lines = text.strip().splitlines()
    body = "\n".join(lines[1:] if lines and lines[0].startswith("# ") else lines).strip()
    return re.sub(r"(?m)^(#+ )", r"##\1", body)


def _behaviours() -> dict[str, str]:
    """First sentence of what each variant of the correction is, by its name."""
    if CORRECTION not in CORRECTIONS.names():
        return {}
    module = sys.modules[CORRECTIONS[CORRECTION].target.__module__]
    found: dict[str, Any] = getattr(module, "BEHAVIOURS", {})
    return {name: first_sentence(kind) for name, kind in found.items()}


def first_sentence(target: Any) -> str:
    """Of a docstring, in one line without its stop."""
    text = " ".join((target.__doc__ or "").replace("``", "").split())
    return escape_markdown(re.split(r"\.(?: |$)", text)[0])
