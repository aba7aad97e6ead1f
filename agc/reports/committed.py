"""A study as some commit of the repository has it, which a new one may since lie over."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from agc.errors import UserError
from agc.reports.study import EPOCHS, RECORDS


@contextmanager
def study_folder(where: str) -> Iterator[Path]:
    """Yield a folder with the parquet files of a study.

    Args:
        where: a folder, or ``REVISION:FOLDER`` as git writes it, such as ``HEAD:reports/digits``:
            the folder's path from the top of the repository that the present folder is in.

    Raises:
        UserError: there is no git, no repository, no such revision, or it has no such file.
    """
    revision, colon, path = where.partition(":")
    if not colon or Path(where).exists():
        yield Path(where)
        return
    with TemporaryDirectory(prefix="agc-") as made:
        for name in (RECORDS, EPOCHS):
            Path(made, name).write_bytes(_show(f"{revision}:{PurePosixPath(path) / name}"))
        yield Path(made)


def _show(file: str) -> bytes:
    try:
        done = subprocess.run(["git", "show", "--end-of-options", file], capture_output=True)
    except OSError as error:
        raise UserError(
            f"git, which is to read {file}, cannot be started: {error.strerror}"
        ) from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it says nothing"]
        raise UserError(f"git cannot read {file}: {said[0]}")
    return done.stdout
