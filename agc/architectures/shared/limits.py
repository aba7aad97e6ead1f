"""What no network can take, known before it is built."""

from __future__ import annotations

from typing import Any

from agc.architectures import smallest_images
from agc.datasets.shared.limits import image_size
from agc.registry import DATASETS, Entry


def refuse(entry: Entry, cell: Any, **options: Any) -> str | None:
    """Why a network does not fit the images of ``cell``, or None."""
    size = image_size(DATASETS[cell.dataset.name], cell.dataset.options)
    smallest = smallest_images().get(entry.name, 0)
    if size is not None and size < smallest:
        return f"it takes images of {smallest} pixels and more, these have {size}"
    return None
