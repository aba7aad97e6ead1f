"""What a fault must not change: all of a cell's files but the times in them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

SAME = ("epochs.csv", "layers.csv", "model.safetensors", "best.safetensors")


def trained(folder: Path) -> dict[str, bytes]:
    """The files of a trained cell that must be the same to the last bit."""
    return {name: (folder / name).read_bytes() for name in SAME}


def record(folder: Path) -> dict[str, Any]:
    """The record without what depends on the clock and the machine."""
    content = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    return {k: v for k, v in content.items() if k not in ("seconds", "provenance")}


def left_over(folder: Path) -> list[Path]:
    """What was being written when a fault came."""
    return list(folder.glob(".*.tmp"))


def fill(disk: Path, leave: int = 0) -> Path:
    """Take all of the disk but ``leave`` bytes; removing the file gives them back."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - leave)
    return filler
