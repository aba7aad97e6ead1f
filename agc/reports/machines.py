"""Which machines cells were trained on, and whether cells of different ones are the same draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.machine.hardware import LIMITS, name_instruction_set

if TYPE_CHECKING:
    import pandas as pd

MACHINE = ("device", "cpu", "threads")
LATER = ("cpu_family", "cpu_model", "instruction_set", "card")
"""What is told of a machine where its records know it; older ones do not."""

DRAWS = {"instruction_sets": "instruction_set", "cards": "card"}
"""What redraws a cell: the CPU's instruction set, or the card where it was trained on one."""


def summarize_machines(records: pd.DataFrame) -> dict[str, Any]:
    """Machines of collected records, each with its number of cells.

    Returns:
        ``machines``: parts of ``MACHINE``, those of ``LATER`` that are known, and ``cells``. Where
        they are known ``instruction_sets`` and ``cards``: cells by each. Where there are several
        of either, ``remarks``: sentences without their stops.
    """
    known = _parts(records)
    machines = [
        {part: value for part, value in zip(known, key, strict=True) if value or part in MACHINE}
        | {"cells": int(count)}
        for key, count in sorted(known.value_counts().items())
    ]
    summary: dict[str, Any] = {"machines": machines}
    on_cards = known["device"].str.startswith("cuda")
    cells = {"instruction_sets": known[~on_cards], "cards": known[on_cards]}
    remarks = []
    for kind, part in DRAWS.items():
        if part not in known:
            continue
        counts = cells[kind][part].value_counts()
        found = {name: int(counts[name]) for name in sorted(counts.index) if name}
        if found:
            summary[kind] = found
        if len(found) > 1:
            each = " and ".join(f"{count} of {name}" for name, count in found.items())
            spoken = kind.replace("_", " ")
            remarks.append(f"cells of two {spoken} are different draws, and here are {each}")
    if remarks:
        summary["remarks"] = remarks
    return summary


def count_draws(records: pd.DataFrame) -> dict[str, int]:
    """Number of cells by instruction set, of those trained on a card by card; those whose record
    does not tell it are left out. Cells of two of them are different draws.
    """
    summary = summarize_machines(records)
    return {name: count for kind in DRAWS for name, count in summary.get(kind, {}).items()}


def describe_machine(machine: dict[str, Any]) -> str:
    """One of ``machines`` in words."""
    cpu, threads = machine["cpu"] or "an unnamed CPU", machine["threads"]
    numbers = [
        f"{word} {machine[part]}"
        for word, part in (("family", "cpu_family"), ("model", "cpu_model"))
        if part in machine
    ]
    told = (machine.get(part) for part in ("device", "card", "instruction_set"))
    parts = [part for part in told if part is not None]
    parts.append(f"{threads} thread{'' if threads == '1' else 's'}")
    return f"{' '.join([cpu, *numbers])} ({', '.join(parts)}; {machine['cells']} cells)"


def _parts(records: pd.DataFrame) -> pd.DataFrame:
    """The machine of each cell as text, empty where unknown; no column of what no record tells."""
    import pandas as pd

    known = {part: records[f"provenance_{part}"] for part in MACHINE}
    later = {"cpu_family": "cpu_family", "cpu_model": "cpu_model", "card": "card_name"}
    known |= {
        part: records[f"provenance_{column}"]
        for part, column in later.items()
        if f"provenance_{column}" in records
    }
    if "provenance_cpu_capability" in records:
        rows = records.to_dict("records")
        known["instruction_set"] = pd.Series(map(_instruction_set, rows), records.index, "string")
    return pd.DataFrame(known).fillna("")


def _instruction_set(row: dict[str, Any]) -> str:
    """Empty where the record does not tell it."""
    import pandas as pd

    def told(name: str) -> str:
        value = row.get(f"provenance_{name}")
        return "" if value is None or pd.isna(value) else value

    capability = told("cpu_capability")
    limits = {name: told(f"environment_{name}") for name in LIMITS}
    limits = {name: value for name, value in limits.items() if value}
    return name_instruction_set(capability, limits) if capability else ""
