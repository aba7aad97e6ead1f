from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.project import EXECUTABLES, environment

# Built from parts, so that this file does not hold what it looks for.
REGISTRY_HOSTS = [b"pypi" + b".org", b"://" + b"pypi", b"files." + b"pythonhosted"]


@pytest.mark.parametrize(
    "command",
    [
        ["snakemake", "--lint"],
        ["snakefmt", "--check", "Snakefile", "workflows"],
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
    ],
    ids=" ".join,
)
def test_style(command: list[str], repository: Path) -> None:
    done = subprocess.run(
        [str(EXECUTABLES / command[0]), *command[1:]],
        cwd=repository,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_no_file_names_a_registry(repository: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    paths = [repository / name.decode() for name in listed if name]
    assert repository / "pyproject.toml" in paths
    found = [
        path
        for path in paths
        if path.is_file() and any(h in path.read_bytes() for h in REGISTRY_HOSTS)
    ]
    assert not found
