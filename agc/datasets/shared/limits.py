"""What no data set can do, known from its declared size before it is read."""

from __future__ import annotations

from typing import Any

from agc.datasets.base import held_out, too_many
from agc.registry import DATASETS, Entry


def image_size(entry: Entry, options: dict[str, Any]) -> int | None:
    """The shorter side of a data set's images in pixels, or None if it is not declared.

    An option ``size`` goes before what is declared.
    """
    declared = min(entry.facts["shape"][1:]) if "shape" in entry.facts else None
    return options.get("size", declared)


def refuse(entry: Entry, cell: Any, **options: Any) -> str | None:
    """Why ``cell`` asks too much of the images of a data set, or asks for too many, or None."""
    training = cell.training
    augmentation, size = training.augmentation, image_size(entry, options)
    if size is not None and augmentation.padding == "reflect" and augmentation.crop >= size:
        return f"its images of {size} pixels have no {augmentation.crop} to reflect at an edge"
    total = entry.facts.get("train")
    # With an option, a set may have more images than it declares.
    if training.images is None or total is None or options != DATASETS.resolve(entry.name, {}):
        return None
    return too_many(training.images, total, held_out(total, training.validation))
