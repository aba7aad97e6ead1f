"""What no data set can do, known from its declared size before it is read."""

from __future__ import annotations

from typing import Any

from agc.registry import Entry


def refuse(entry: Entry, cell: Any, **options: Any) -> str | None:
    """Why ``cell`` asks too much of the images of a data set, or None.

    Options that change the size (``size`` of a folder of images) go before the declared one.
    """
    augmentation = cell.training.augmentation
    size = options.get("size", min(entry.facts["shape"][1:]) if "shape" in entry.facts else None)
    if size is not None and augmentation.padding == "reflect" and augmentation.crop >= size:
        return f"its images of {size} pixels have no {augmentation.crop} to reflect at an edge"
    return None
