"""Where numbers come from: versions, commit, machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from agc.machine.hardware import LIMITS, arithmetic, card, processor
from agc.places import checkout

PACKAGES = ("torch", "torchvision", "timm", "torchattacks", "numpy")
CODE = ("agc", "workflows", "envs", "Snakefile", "pyproject.toml")
"""What must be committed for a record to count as made by its commit."""

ENVIRONMENT = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "MKL_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "PYTHONHASHSEED",
    "SLURM_JOB_ID",
    *LIMITS,
)
"""The variables that a record may name; all others stay out of it, as some hold secrets."""


def now() -> str:
    """Present time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def installed(package: str) -> str | None:
    """Version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def git_state() -> tuple[str | None, bool]:
    """Commit of the checkout that this code runs from, and whether its code differs from it.

    (None, False) for code installed from a wheel, wherever its environment lies.
    """
    root = checkout()
    commit = _git(root, "rev-parse", "HEAD") if root is not None else None
    if commit is None:
        return None, False
    return commit.strip(), bool(_git(root, "status", "--porcelain", "--", *CODE))


def provenance(device: str, threads: int, deterministic: bool) -> dict[str, Any]:
    """Software, commit and hardware of this process, as plain data.

    Nothing of it is part of a cell, so two machines may train the same cell to other numbers.
    """
    commit, dirty = git_state()
    graphics = card(device)
    return {
        "agc": installed("agc-bench"),
        "git_commit": commit,
        "git_dirty": dirty,
        "python": platform.python_version(),
        **{package: installed(package) for package in PACKAGES},
        "platform": sys.platform,
        "hostname": platform.node(),
        **processor(),
        "cpus": os.cpu_count(),
        **arithmetic(),
        **({} if graphics is None else {"card": graphics}),
        "device": device,
        "threads": threads,
        "deterministic": deterministic,
        "environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
    }


def _git(root: Path, *arguments: str) -> str | None:
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
