"""Ways in which a file can be damaged."""

from __future__ import annotations

import os
import pickle
from pathlib import Path


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.mark),)


def damaged(content: bytes, how: str, mark: Path) -> bytes:
    """``content`` spoiled as ``how`` says; whoever unpickles a bomb makes the folder ``mark``."""
    if how == "empty":
        return b""
    if how == "truncated":
        return content[: len(content) // 2]
    if how == "a bit flipped":
        return bytes([content[0] ^ 0x80]) + content[1:]
    return pickle.dumps(Bomb(mark), protocol=2)
