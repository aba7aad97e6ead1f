"""What training steps take on the cards that somebody has measured (``agc bench train``)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from agc.errors import UserError
from agc.files import read_json
from agc.reports.tables.formatting import MISSING
from agc.reports.text.study import paragraph, table

FOLDER = "gpu"
"""Of the reports; a file a card."""

GB = 1e-9
LAUNCH_BOUND = 0.8
"""Below this share of busy time the host is what limits a step."""

NONE = (
    "No card has been measured yet, so there is no figure here: `make bench-gpu` on a machine that "
    "has one writes its file and this table."
)

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], str]]


def cards(reports: Path) -> str:
    """Each measured card with its steps, what would make them faster, and whether bits repeat.

    Raises:
        UserError: a file is not one of ``agc bench train``.
    """
    files = sorted((reports / FOLDER).glob("*.json"))
    if not files:
        return paragraph(NONE)
    return "\n\n".join(_card(path) for path in files)


def _card(path: Path) -> str:
    found = read_json(path)
    try:
        parts = [f"### {found['device']}", paragraph(_made_with(found))]
        parts += [_steps(found["steps"]), paragraph(_bits(found.get("bits", {})))]
        parts += [_levers(found.get("levers", {})), _official(found.get("official", {}))]
        parts += [paragraph(_packed(found.get("packed", [])))]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no file of agc bench train: {error!r}") from error
    return "\n\n".join(part for part in parts if part)


def _made_with(found: Row) -> str:
    machine = found["provenance"]
    card = machine.get("card") or {}
    versions = [f"torch {machine['torch']}"]
    for name in ("cuda", "cudnn", "driver"):
        versions += [f"{name} {card[name]}"] if card.get(name) else []
    return (
        f"{', '.join(versions)}, {machine['cpu']}; batches of {found['batch']} images of "
        f"{found['size']} pixels, made in {found['seconds']:.0f} seconds."
    )


def _number(key: str, digits: int = 2, factor: float = 1.0) -> Callable[[Row], str]:
    def shown(row: Row) -> str:
        return f"{factor * row[key]:.{digits}f}" if key in row else MISSING

    return shown


def _busy(row: Row) -> str:
    if "busy" not in row:
        return MISSING
    return f"{row['busy']:.2f}" + (", launch-bound" if row["busy"] < LAUNCH_BOUND else "")


def _named(row: Row) -> str:
    """What was measured, or why it could not be."""
    return f"{row['name']}: {row['error']}" if "error" in row else row["name"]


FIGURES: list[Column] = [
    ("ms", _number("ms")),
    ("of plain", _number("ratio")),
    ("of units", _number("over_units")),
    ("pass, ms a batch", _number("pass_ms")),
    ("kernels", _number("kernels", 0)),
    ("busy", _busy),
    ("waits", _number("waits", 0)),
    ("peak GB", _number("peak_memory", 2, GB)),
]


def _steps(found: Row) -> str:
    """Milliseconds of a step, its ratio to the plain loop's, and that over the ratio of units."""
    header = ["network", "precision", "step", *(title for title, _ in FIGURES)]
    rows = []
    for network, kinds in found.items():
        for kind, steps in kinds.items():
            if "error" in steps:
                rows.append([network, kind, steps["error"], *[MISSING] * len(FIGURES)])
                continue
            for row in steps:
                figures = [shown(row) for _, shown in FIGURES]
                rows.append([network, kind, _named(row), *figures])
    return table(header, rows, labels=3)


def _levers(found: Row) -> str:
    rows = []
    for network, levers in found.items():
        for row in [] if "error" in levers else levers:
            figures = [_number("ms")(row), _number("ratio")(row), _number("kernels", 0)(row)]
            rows.append([network, _named(row), *figures])
    header = ["network", "the plain step", "ms", "of the first", "kernels"]
    return table(header, rows, labels=2) if rows else ""


def _official(found: Row) -> str:
    rows = [
        [
            *(network, _named({"name": way, **ours}), f"{row['official']:.2f}"),
            *(_number("ms")(ours), _number("ratio")(ours)),
        ]
        for network, row in found.items()
        if "error" not in row
        for way, ours in row["ours"].items()
    ]
    header = ["network", "ours", "official code, ms a batch of an epoch", "ours, ms", "ratio"]
    return table(header, rows, labels=2) if rows else ""


def _bits(found: Row) -> str:
    if not found or "error" in found:
        return f"Whether repeated runs have the same bits is not known{_why(found)}."
    others = [kind for kind, same in found.items() if not same]
    if others:
        return f"Repeated runs do **not** have the same bits: {'; '.join(others)}."
    return f"Repeated runs have the same bits: {'; '.join(found)}."


def _why(found: Row) -> str:
    return f" ({found['error']})" if found else ""


def _packed(found: list[Row]) -> str:
    if not found or "error" in found:
        return ""
    told = [f"{row['processes']}: {row['steps_per_second']:.0f}" for row in found]
    return f"Steps a second of all processes that share the card: {', '.join(told)}."
