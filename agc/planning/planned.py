"""``plan.json``: what was predicted of a cell before it ran, and what jobs ask for by it."""

from __future__ import annotations

import errno
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from agc.errors import UserError
from agc.files import read_json, write_json
from agc.grids.cell import SCHEMA, Cell
from agc.planning.seconds import Cost

PLAN = "plan.json"

HEADROOM = 1.5
"""Of what a job is asked for, relative to the high end of what is predicted."""

MINUTES = 5
"""That a job is given beside."""

MEGABYTES = 500
"""The same of memory."""


def write_plan(folder: Path, cell: Cell, cost: Cost, start: float, moment: str) -> None:
    """Write what is predicted of a cell, unless it has been begun: then it is too late.

    Args:
        folder: the cell's.
        cell: whose it is.
        cost: what is predicted.
        start: seconds of a process before its first cell.
        moment: when, ISO 8601.
    """
    if (folder / "train.log").exists() or (folder / "training.json").exists():
        return
    content = {
        "schema": SCHEMA,
        "slug": cell.slug,
        "seconds": {
            "train": cost.train,
            "evaluation": cost.evaluation,
            "setup": cost.setup,
            "attacks": cost.attacks,
            "total": cost.seconds,
            "low": cost.low,
            "high": cost.high,
            "start": start,
            "load": cost.load,
        },
        "memory": cost.memory,
        "disk": cost.disk,
        "source": cost.source,
        "planned": moment,
    }
    write_json(folder / PLAN, content)


def read_plan(folder: Path) -> dict[str, Any] | None:
    """What was predicted of the cell of a folder; None if nothing was.

    Raises:
        UserError: the file is damaged, or of another cell.
    """
    path = folder / PLAN
    if not path.exists():
        return None
    content = read_json(path)
    try:
        numbers = [*content["seconds"].values(), content["memory"], content["disk"]]
        whole = content["schema"] == SCHEMA and all(math.isfinite(number) for number in numbers)
        own = content["slug"] == folder.name
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no plan of a cell: {error!r}; remove it") from error
    if not (whole and own):
        raise UserError(f"{path} is no plan of {folder.name}: remove it")
    return content


class Request(NamedTuple):
    """What a job asks a scheduler for."""

    minutes: int
    megabytes: int


def job_request(
    folders: Sequence[Path], awaited: Sequence[str], stage: str, usual: Request
) -> Request:
    """What a job of some cells asks for.

    Args:
        folders: of the cells.
        awaited: files that the job waits for.
        stage: ``train`` or ``attacks``.
        usual: what is asked for where a cell has no prediction.

    Raises:
        FileNotFoundError: the cells are not planned yet, and a file that the job waits for is not
            there: Snakemake asks again when it is.
    """
    lacking = next((name for name in awaited if not Path(name).exists()), None)
    if lacking is not None and not all((folder / "cell.json").exists() for folder in folders):
        raise FileNotFoundError(errno.ENOENT, "not planned yet", lacking)
    plans = [plan for folder in folders if (plan := read_plan(folder)) is not None]
    if len(plans) < len(folders):
        return usual
    seconds = max(plan["seconds"]["start"] for plan in plans)
    seconds += sum(_clock(plan["seconds"], stage) for plan in plans)
    needed = max(plan["memory"] for plan in plans)
    return Request(
        minutes=MINUTES + math.ceil(HEADROOM * seconds / 60),
        megabytes=MEGABYTES + math.ceil(HEADROOM * needed / 1e6),
    )


def _clock(seconds: dict[str, float], stage: str) -> float:
    """The high end of one stage, on a machine as busy as it was when the step was timed."""
    share = seconds["attacks"] / seconds["total"]
    share = share if stage == "attacks" else 1 - share
    return seconds["high"] * share * max(1.0, seconds["load"])
