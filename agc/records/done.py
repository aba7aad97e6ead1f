"""What of a cell is finished already; read without torch, so that a rerun skips it in no time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agc.errors import UserError
from agc.files import read_json


def is_trained(folder: Path, slug: str) -> bool:
    """Whether the folder holds the whole result of training the cell ``slug``.

    Raises:
        UserError: the result is of another cell, or unreadable.
    """
    found = _sealed(folder / "training.json", slug)
    if found is None:
        return False
    names = ["epochs.csv", "timings.csv"]
    if found.get("status") == "finished":
        names += ["model.safetensors", *(["best.safetensors"] if found.get("best") else [])]
    return all((folder / name).is_file() for name in names)


def is_evaluated(folder: Path, slug: str) -> bool:
    """Whether the folder holds the attacks' result of the cell ``slug``.

    Raises:
        UserError: the result is of another cell, or unreadable.
    """
    return _sealed(folder / "robustness.json", slug) is not None


def _sealed(path: Path, slug: str) -> dict[str, Any] | None:
    if not path.exists():
        return None
    found = read_json(path)
    if not isinstance(found, dict) or found.get("slug") != slug:
        raise UserError(f"{path} is not of cell {slug!r}; move it away to do this cell anew")
    return found
