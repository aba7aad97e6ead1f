"""A cell's folder while the cell is trained: who may write there, and what does not belong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from agc.errors import UserError
from agc.grids.cell import Cell, read_cell
from agc.machine.provenance import now
from agc.records.failure import clear_failure, write_failure

LOCK = ".lock"
LOOK = 0.2
"""Seconds that a training waits for the lock: who looks whether it is held takes it for less."""


def is_held(folder: Path) -> bool:
    """Whether a process trains the cell of a folder now, as far as locks tell: where a file system
    keeps them to one machine, those of others are not seen.

    It writes nothing and needs no right to, so that anybody may look at the results of others.
    """
    import fcntl

    try:
        with (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class CellFolder:
    """The folder of a cell.

    Args:
        path: it is made if it is not there.
        cell: whose it is.
        writes: whether this process does; of those that train a cell together one does.
    """

    def __init__(self, path: Path, cell: Cell, writes: bool) -> None:
        self.path = path
        self.cell = cell
        self.writes = writes

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other trainings of the cell out, and see that ``cell.json`` is the cell.

        Raises:
            UserError: another process trains the cell, or a file stands in the way.
        """
        if not self.writes:
            yield
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            held = FileLock(self.path / LOCK, timeout=LOOK).acquire()
        except Timeout as error:
            raise UserError(f"{self.cell.slug} is being trained by another process") from error
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}") from error
        with held:
            described = self.path / "cell.json"
            if not described.exists():
                self.cell.write(self.path)
            elif read_cell(described).digest != self.cell.digest:
                raise UserError(f"{described} is not cell {self.cell.slug!r}")
            yield

    def sweep(self) -> None:
        """Remove what a killed run was writing, and what was made of an earlier result."""
        if not self.writes:
            return
        for unfinished in self.path.glob(".*.tmp"):
            if not unfinished.name.startswith(".cell.json."):  # `agc plan` may be writing it
                unfinished.unlink(missing_ok=True)
        for name in ("robustness.json", "correct.npz", "record.json"):
            (self.path / name).unlink(missing_ok=True)
        clear_failure(self.path)

    def note_failure(self, epochs: int, reason: str) -> None:
        """Note that there was too little memory after so many epochs."""
        if self.writes:
            write_failure(self.path, self.cell.slug, "training", epochs, reason)

    def log(self, line: str) -> None:
        """Add a line to ``train.log``.

        Raises:
            UserError: it cannot be written.
        """
        if not self.writes:
            return
        path = self.path / "train.log"
        try:
            with path.open("a", encoding="utf-8") as log:
                log.write(f"{now()} {line}\n")
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error
