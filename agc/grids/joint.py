"""What tells the file of a joint grid from that of a grid with axes: which keys they have."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from agc.grids.axes import AXES

NEEDED = (*(axis.plural for axis in AXES.values() if not axis.since), "recipe", "seeds")
"""What a grid file must have, beside its description, unless it is that of a joint grid."""

GRIDS = "grids"
"""The key that makes it one."""

ALLOWED = ("description", GRIDS, "margin")
"""All that the file of a joint grid may have."""

SCHEMA: dict[str, Any] = {
    "oneOf": [
        {"required": [GRIDS], "propertyNames": {"enum": list(ALLOWED)}},
        {"required": list(NEEDED), "not": {"required": [GRIDS]}},
    ]
}
"""The same in the JSON schema of a grid file."""


def check_keys(given: Collection[str], known: Iterable[str]) -> None:
    """Refuse a joint grid with keys of its own for cells, and any other without one that it needs.

    Args:
        given: keys of a file.
        known: all that a grid file may have, in their order.

    Raises:
        ValueError: with the first such key.
    """
    if GRIDS in given:
        other = next((key for key in given if key not in ALLOWED), None)
        if other is not None:
            raise ValueError(
                f"{other!r} beside {GRIDS!r}: a joint grid has {', '.join(ALLOWED)} alone, and its "
                "cells are those of its grids"
            )
    else:
        lacking = next((key for key in known if key in NEEDED and key not in given), None)
        if lacking is not None:
            raise ValueError(f"{lacking} is missing")
