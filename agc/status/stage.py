"""Where one cell stands, read from its folder without a trace and without torch."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agc.errors import UserError
from agc.files import read_json
from agc.records.failure import describe_failure, read_failure
from agc.records.folder import is_held

DONE = "done"
TRAINED = "trained"
RUNNING = "running"
FAILED = "failed"
WAITING = "waiting"
STAGES = (DONE, TRAINED, RUNNING, FAILED, WAITING)
"""A cell has a record; it waits for its attacks; a process trains it; it ran out of memory; or it
waits to be begun or to be gone on with."""

BEGUN = re.compile(r"(\S+) (?:start on .*|resumed after epoch (\d+))")
ENDED = re.compile(r"(\S+) epoch (\d+): ")


@dataclass(frozen=True)
class Span:
    """A stretch of work of one process, in seconds since 1970."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


@dataclass(frozen=True)
class Stage:
    """Where a cell stands.

    Attributes:
        word: one of :data:`STAGES`.
        reason: of a failure.
        trained: whether its training has ended.
        epochs: how many have ended.
        training: when the training was at work. Of one that has not ended: from its last start to
            the last epoch that has ended since.
        measured: epochs that have ended in ``training``.
        attacks: when it was attacked.
    """

    word: str
    reason: str = ""
    trained: bool = False
    epochs: int = 0
    training: Span | None = None
    measured: int = 0
    attacks: Span | None = None


def read_stage(folder: Path) -> Stage:
    """Look where the cell of a folder stands; what is not there or unreadable counts as not done.

    A cell that was begun and that no process holds now, such as one that was killed, is waiting.
    """
    if not folder.is_dir():
        return Stage(WAITING)
    recorded = (folder / "record.json").exists()
    reason = "" if recorded else _failure(folder)
    if recorded or (folder / "training.json").exists():
        word = DONE if recorded else FAILED if reason else TRAINED
        epochs, training = _training(folder)
        return Stage(word, reason, True, epochs, training, epochs, _attacks(folder))
    # Asked before the log is read: a training that ends meanwhile is not taken for a killed one.
    held = is_held(folder)
    reason = "" if held else reason
    epochs, training, measured = _log(folder)
    word = RUNNING if held else FAILED if reason else WAITING
    return Stage(word, reason, False, epochs, training, measured)


def _failure(folder: Path) -> str:
    try:
        found = read_failure(folder)
    except UserError as error:
        return str(error)
    return "" if found is None else describe_failure(found)


def _training(folder: Path) -> tuple[int, Span | None]:
    """Epochs of a training that has ended, and when it was at work."""
    with suppress(UserError, KeyError, TypeError, ValueError, AttributeError):
        found = read_json(folder / "training.json")
        end = datetime.fromisoformat(found["provenance"]["finished"]).timestamp()
        span = Span(end - sum(found["seconds"].values()), end)
        return int(found["costs"]["epochs"]), span
    return 0, None


def _attacks(folder: Path) -> Span | None:
    path = folder / "robustness.json"
    with suppress(UserError, OSError, KeyError, TypeError):
        end = path.stat().st_mtime
        return Span(end - read_json(path)["seconds"], end)
    return None


def _log(folder: Path) -> tuple[int, Span | None, int]:
    """Epochs that have ended; and of those since the last start: when, and how many."""
    start, first, last, end = None, 0, 0, 0.0
    with suppress(OSError, ValueError):
        for line in (folder / "train.log").read_text(encoding="utf-8").splitlines():
            if begun := BEGUN.match(line):
                start = end = datetime.fromisoformat(begun[1]).timestamp()
                first = last = int(begun[2] or 0)
            elif ended := ENDED.match(line):
                end, last = datetime.fromisoformat(ended[1]).timestamp(), int(ended[2])
    return last, None if start is None else Span(start, end), last - first
