"""``failure.json``: why a cell has no result yet; the next attempt removes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agc.errors import UserError
from agc.files import read_json, write_json
from agc.grids.cell import SCHEMA
from agc.machine.provenance import now

FILE = "failure.json"
OUT_OF_MEMORY = "out of memory"
UNFINISHED = "unfinished"
"""Of a cell that nobody has begun, that is running, or that was killed."""

WITHOUT_RESULT = (OUT_OF_MEMORY, UNFINISHED)
"""What a table may say of a cell that has no record."""


def loss_key(status: str) -> str:
    """A status as a part of a column's name."""
    return status.replace(" ", "_")


def write_failure(folder: Path, slug: str, stage: str, epochs: int, message: str) -> None:
    """Note that a cell ran out of memory.

    Args:
        folder: the cell's.
        slug: of the cell.
        stage: ``training`` or ``evaluation``.
        epochs: how many had ended.
        message: what the allocator said, in one line.
    """
    content = {
        "schema": SCHEMA,
        "slug": slug,
        "status": OUT_OF_MEMORY,
        "stage": stage,
        "epochs": epochs,
        "message": message,
        "when": now(),
    }
    write_json(folder / FILE, content)


def read_failure(folder: Path) -> dict[str, Any] | None:
    """What :func:`write_failure` noted in a cell's folder; None if nothing.

    Raises:
        UserError: the file is damaged, of another version or of another cell.
    """
    path = folder / FILE
    if not path.exists():
        return None
    found = read_json(path)
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise UserError(f"{path} is no failure of a cell; remove it")
    if found.get("slug") != folder.name or found.get("status") not in WITHOUT_RESULT:
        raise UserError(f"{path} is not of its folder's cell; remove it")
    return found


def describe_failure(failure: dict[str, Any]) -> str:
    """In one line."""
    epochs = failure["epochs"]
    counted = f"{epochs} epoch" + ("" if epochs == 1 else "s")
    return f"{failure['status']} in {failure['stage']} after {counted}: {failure['message']}"


def clear_failure(folder: Path) -> None:
    """Remove the note of an earlier attempt.

    Raises:
        UserError: the folder cannot be written.
    """
    path = folder / FILE
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot remove {path}: {error.strerror or error}") from error
