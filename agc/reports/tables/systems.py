"""The ten systems of the suite, and what their papers claim."""

from __future__ import annotations

import csv
from pathlib import Path

SYSTEMS = Path(__file__).with_suffix(".csv")


def read_systems() -> list[dict[str, str]]:
    """A line for each claim: ``system``, ``source``, ``claim`` in short, how it is measured here
    (``measure``) in which ``report``, and by which of its ``hypothesis`` or ``entry``; ``arms``:
    with which options, separated by semicolons.
    """
    with SYSTEMS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def claims_of(entries: set[str]) -> list[str]:
    """What the papers of entries claim, a line each.

    Args:
        entries: names of entries, without options.
    """
    return [
        f"{line['entry']}: its paper ({line['source']}) claims: {line['claim']}"
        for line in read_systems()
        if line["entry"] in entries
    ]
