"""What no network can take, known before it is built."""

from __future__ import annotations

from typing import Any

from agc.architectures import cell_calls, smallest_images
from agc.datasets.shared.limits import image_size
from agc.registry import DATASETS, METHODS, Entry


def refuse(entry: Entry, cell: Any, **options: Any) -> str | None:
    """Why a network does not fit the images of ``cell``, or None."""
    size = image_size(DATASETS[cell.dataset.name], cell.dataset.options)
    smallest = smallest_images().get(entry.name, 0)
    if size is not None and size < smallest:
        return f"it takes images of {smallest} pixels and more, these have {size}"
    return None if cell_calls(cell.architecture) is None else _unsolved(cell)


def _unsolved(cell: Any) -> str | None:
    """Why the fixed point of an equilibrium network would not be one."""
    if cell.training.precision != "float32":
        return f"its fixed point is solved in float32, not under {cell.training.precision}"
    if METHODS[cell.method.name].target.adds_noise:
        return (
            f"method {cell.method.name!r} moves weights by noise in proportion to their gradient's "
            "step, which the contraction of its cell would scale"
        )
    return None
