"""A folder of one's own: a Snakefile that uses the package's, and an example grid to start from."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from agc.errors import UserError
from agc.places import home

GRID = "example"
"""The grid of a new project."""


def lay_project(folder: Path) -> None:
    """Make a project in ``folder``, which is new or empty; when that fails, nothing of it is left.

    Raises:
        UserError: there is something in the folder, or it cannot be written.
    """
    new = not folder.exists()
    laid: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UserError(f"{folder} is not empty: a project begins in a new or an empty folder")
        try:
            with TemporaryDirectory(prefix=".agc-init-", dir=folder) as temporary:
                _fill(Path(temporary))
                for path in Path(temporary).iterdir():
                    laid.append(folder / path.name)
                    path.rename(laid[-1])
        except BaseException:
            for path in laid:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            if new:
                folder.rmdir()
            raise
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error


def _fill(folder: Path) -> None:
    """Copy what a project has of its own; rules, schemas and captions stay in the package."""
    workflows = home() / "workflows"
    shutil.copytree(workflows / "project", folder, dirs_exist_ok=True)
    shutil.copytree(workflows / "profiles", folder / "workflows" / "profiles")
    text = (workflows / "config.yaml").read_text(encoding="utf-8")
    text = text.replace("grid: digits", f"grid: {GRID}", 1)
    (folder / "workflows" / "config.yaml").write_text(text, encoding="utf-8")
