"""Where a grid stands, in one line or as JSON."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from agc.status.stage import DONE, FAILED, TRAINED
from agc.status.survey import Status

WORDS = {TRAINED: "trained and not attacked yet"}


def one_line(status: Status) -> str:
    """Counts that are not 0, the share done, and the time used and left."""
    parts = [f"{status.counts[DONE]} of {status.planned} cells done"]
    parts += [
        f"{count} {WORDS.get(word, word)}"
        for word, count in status.counts.items()
        if word != DONE and count
    ]
    times = [f"{100 * status.share:.0f} %", f"{duration(status.used)} used", time_left(status)]
    return f"{status.name}: {', '.join(parts)}; {', '.join(times)}"


def time_left(status: Status) -> str:
    """The time left, or that there is nothing to tell it from."""
    if status.complete:
        return "nothing left"
    if status.left is None:
        return "time left unknown until a cell has measured an epoch"
    alone = "" if status.at_once else " for one process"
    attacks = "" if status.attacks_counted else ", attacks not counted"
    return f"about {duration(status.left)} left{alone}{attacks}"


def failures(status: Status) -> list[str]:
    """A line for each cell that failed."""
    return [f"{FAILED}: {slug}: {reason}" for slug, reason in status.failed.items()]


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as 0:02:30."""
    return str(timedelta(seconds=round(seconds)))


def as_dict(status: Status) -> dict[str, Any]:
    """For JSON: the fields of a status, times in seconds."""
    return asdict(status)
