"""Checkpoints at epoch boundaries: one tree of state dicts, written atomically."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from agc.errors import UserError
from agc.files import atomic_path
from agc.grids.axes import AXES
from agc.processes.share import Share
from agc.processes.team import Team
from agc.state import Stateful, moved, unlike
from agc.training.run import Run

FORMAT = 2
"""Version of the tree."""


def save(path: Path, run: Run, epoch: int, progress: dict[str, Any], team: Team = Team()) -> None:
    """Write the state after ``epoch``; ``progress`` is plain data and tensors of the caller.

    Random generators are derived, so none is stored, and the learning-rate schedule is replayed.
    All processes of a team call it, as an objective's state may be by image and the optimizer's by
    worker; one writes.
    """
    # What lies on another device would be put there again, in the process that gathers.
    objectives = team.gather(moved(run.objective.state_dict(), "cpu"))
    optimizers = []
    if not run.communication.one_worker:
        optimizers = team.gather(moved(run.optimizer.state_dict(), "cpu"))
    if not team.leads:
        return
    tree = {
        "format": FORMAT,
        "slug": run.cell.slug,
        "epoch": epoch,
        "model": run.model.state_dict(),
        **{name: part.state_dict() for name, part in _parts(run).items()},
        "objective": objectives[0],
        "others": objectives[1:],
        "optimizers": optimizers[1:],
        "meter": run.meter.state_dict(),
        "ledger": run.ledger.state_dict(),
        "progress": progress,
    }
    with atomic_path(path) as temporary:
        try:
            torch.save(moved(tree, "cpu"), temporary)
        except RuntimeError as error:  # torch reports a failed write this way
            raise OSError(str(error).splitlines()[0]) from error


def load(path: Path, run: Run) -> tuple[int, dict[str, Any]]:
    """Restore ``run`` in place; returns the epoch and the caller's progress.

    Raises:
        UserError: the file is corrupt, of another version or of another cell; it is never
            unpickled beyond tensors and plain containers.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not look at the checksums
            if (broken := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"bad checksum of {broken}")
        # From the CPU each part goes where it belongs, one at a time.
        tree = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever junk makes the reader stumble over
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"checkpoint {path} cannot be read ({reason}); remove it to train this cell anew"
        ) from error
    found = tree.get("format") if isinstance(tree, dict) else None
    if found != FORMAT:
        raise UserError(f"checkpoint {path} has format {found!r}, this version reads {FORMAT}")
    if tree.get("slug") != run.cell.slug:
        raise UserError(f"checkpoint {path} is of cell {tree.get('slug')!r}, not {run.cell.slug!r}")
    for problem in _misfits(run, tree):
        raise UserError(
            f"checkpoint {path} does not fit what this version makes of its cell ({problem}); "
            "remove it to train this cell anew"
        )
    _replay_schedule(run, tree)
    run.model.load_state_dict(tree["model"])
    for name, part in _parts(run).items():
        if name != "optimizer" and name in tree:
            part.load_state_dict(tree[name])
    # Checkpoints of before objectives had a state lack it.
    objectives = [tree.get("objective", {}), *tree.get("others", [])]
    run.objective.load_state_dict(objectives[Share.here().rank])
    run.meter.load_state_dict(tree["meter"])
    run.ledger.load_state_dict(tree["ledger"])
    return tree["epoch"], tree["progress"]


def _parts(run: Run) -> dict[str, Any]:
    """What has a state of the axes' entries, but for the objective, whose state is by process."""
    parts = {name: getattr(run, name, None) for name in AXES if name != "objective"}
    return {name: part for name, part in parts.items() if hasattr(part, "state_dict")}


def _misfits(run: Run, tree: dict[str, Any]) -> Iterator[str]:
    """In words, what of a checkpoint the run cannot take; nothing has been changed yet."""
    yield from unlike("model", tree.get("model"), run.model.state_dict())
    for name, part in _parts(run).items():
        if name not in tree:
            # A checkpoint of before an axis came has nothing of its default, which has no state.
            if not isinstance(part, Stateful) or part.state_names():
                yield f"it has no {name}"
        elif isinstance(part, Stateful):
            yield from (f"{name}: {problem}" for problem in part.misfits(tree[name]))


def _replay_schedule(run: Run, tree: dict[str, Any]) -> None:
    """Step the schedule as the first process did: its last step came after the checkpoint."""
    run.optimizer.step()  # does nothing without gradients; the schedule asks for the order
    for _ in range(tree["epoch"] - 1):
        run.schedule.step()
    optimizers = [tree["optimizer"], *tree.get("optimizers", [])]
    run.optimizer.load_state_dict(optimizers[Share.here().rank if len(optimizers) > 1 else 0])
    run.schedule.step()
