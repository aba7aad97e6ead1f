"""What this machine has for a run: versions, devices, disk, and what to do about a gap."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agc.machine.hardware import (
    arithmetic,
    has_card,
    name_instruction_set,
    processor,
    recorded_instruction_sets,
)
from agc.machine.provenance import git_state
from agc.places import checkout

if TYPE_CHECKING:
    from rich.console import Console

Level = Literal["ok", "warning", "error"]

DISTRIBUTION = "agc-bench"
# (distribution, extra that brings it; None: nothing runs without it)
PACKAGES = (
    ("torch", None),
    ("torchvision", None),
    ("timm", None),
    ("torchattacks", "attacks"),
    ("mlflow", "tracking"),
    ("snakemake", "workflow"),
)
# torchattacks pins a requests of 2021 that it works without.
KNOWN_CONFLICTS = {("torchattacks", "requests")}
LIBRARIES = (
    ("oneDNN", "onednn"),
    ("MKL", "mkl"),
    ("torch's BLAS", "blas"),
    ("numpy's", "numpy_blas"),
)
GIB = 2**30
DISK_LOW, DISK_LEAST = 5 * GIB, GIB // 2


@dataclass(frozen=True)
class Check:
    """One finding; ``remedy`` is one line, empty when there is nothing to mend."""

    name: str
    level: Level
    found: str
    remedy: str = ""


def diagnose(results: Path = Path("results")) -> list[Check]:
    """Look at this machine; ``results`` is the folder that runs would write into."""
    return [
        _python(),
        *(_package(name, extra) for name, extra in PACKAGES),
        _conflicts(),
        _cuda(),
        _processors(),
        _instructions(results),
        _writable(results),
        _disk(results),
        _git_commit(),
    ]


def print_report(console: Console, results: Path = Path("results")) -> bool:
    """Print every check and return whether none is an error."""
    from rich.markup import escape
    from rich.table import Table

    colours: dict[Level, str] = {"ok": "green", "warning": "yellow", "error": "red"}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("check", "", "found", "remedy"):
        table.add_column(title, overflow="fold")
    checks = diagnose(results)
    for check in checks:
        state = f"[{colours[check.level]}]{check.level}[/]"
        table.add_row(check.name, state, escape(check.found), escape(check.remedy))
    console.print(table)
    return all(check.level != "error" for check in checks)


def _python() -> Check:
    return Check("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _package(name: str, extra: str | None) -> Check:
    try:
        return Check(name, "ok", version(name))
    except PackageNotFoundError:
        if extra is None:
            return Check(name, "error", "not installed", f"pip install {DISTRIBUTION}")
        remedy = f"pip install '{DISTRIBUTION}[{extra}]'"
        if any(parent == name for parent, _ in KNOWN_CONFLICTS):
            remedy = f"pip install --no-deps {name}"
        return Check(name, "warning", "not installed", remedy)


def _conflicts() -> Check:
    found = sorted(conflicts())
    if not found:
        return Check("requirements", "ok", "no conflicts")
    remedy = f"install {DISTRIBUTION} anew, into an environment of its own"
    if checkout() is not None:
        remedy = "install the locked versions: envs/requirements.lock"
    return Check("requirements", "error", "; ".join(found), remedy)


def conflicts() -> Iterator[str]:
    """Installed versions that something which we need, directly or not, rules out.

    Packages of extras that are not installed are no conflict.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    optional = {canonicalize_name(name) for name, extra in PACKAGES if extra}
    pending = [(DISTRIBUTION, Requirement(line)) for line in _own_requirements()]
    seen: set[tuple[str, str]] = set()
    while pending:
        parent, requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        if (parent, str(requirement)) in seen or (parent, name) in KNOWN_CONFLICTS:
            continue
        seen.add((parent, str(requirement)))
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            if name not in optional:
                yield f"{parent} needs {requirement.name}, which is not installed"
            continue
        if not requirement.specifier.contains(installed.version, prereleases=True):
            wanted = f"{requirement.name}{requirement.specifier}"
            yield f"{parent} needs {wanted}, but {installed.version} is installed"
        for line in installed.requires or ():
            inner = Requirement(line)
            extras = requirement.extras or {""}
            if not inner.marker or any(inner.marker.evaluate({"extra": e}) for e in extras):
                pending.append((name, inner))


def _own_requirements() -> Iterator[str]:
    """Requirements of a run and of tracking, attacks and workflow; ``dev`` is left out."""
    from packaging.requirements import Requirement

    try:
        lines = [Requirement(line) for line in requires(DISTRIBUTION) or ()]
    except PackageNotFoundError:
        root = checkout()
        source = root / "pyproject.toml" if root is not None else None
        if source is not None and source.is_file():
            project = tomllib.loads(source.read_text(encoding="utf-8"))["project"]
            extras = project.get("optional-dependencies", {})
            yield from project.get("dependencies", [])
            for name in {extra for _, extra in PACKAGES if extra}:
                yield from extras.get(name, [])
        return
    wanted = ["", *{extra for _, extra in PACKAGES if extra}]
    for line in lines:
        if not line.marker or any(line.marker.evaluate({"extra": extra}) for extra in wanted):
            yield str(line)


def _cuda() -> Check:
    try:
        import torch
    except (ImportError, OSError) as error:
        reason = (str(error).splitlines() or ["import failed"])[0]
        return Check("cuda", "error", f"torch cannot be imported: {reason}", "reinstall torch")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return Check("cuda", "ok", f"{torch.version.cuda}: " + ", ".join(names))
    if shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists():
        remedy = "install a torch built for this driver's CUDA, and check CUDA_VISIBLE_DEVICES"
        return Check("cuda", "warning", "this machine has a GPU that torch cannot use", remedy)
    return Check("cuda", "ok", "no device; cells train on the CPU")


def _processors() -> Check:
    affinity = getattr(os, "sched_getaffinity", None)
    usable = len(affinity(0)) if affinity else os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS", "")
    found = f"{usable} CPUs, OMP_NUM_THREADS {threads or 'not set'}"
    if threads.isdigit() and int(threads) > usable:
        return Check("processors", "warning", found, f"set OMP_NUM_THREADS to {usable} or less")
    return Check("processors", "ok", found)


def _instructions(results: Path) -> Check:
    """What this process computes with, beside what the records of ``results`` were made with."""
    name = "instruction set"
    try:
        told = arithmetic()
    except (ImportError, OSError):
        return Check(name, "error", "unknown, as torch cannot be imported", "reinstall torch")
    here = name_instruction_set(told["cpu_capability"], os.environ)
    chip = processor()
    numbers = [
        f"{word} {chip[key]}"
        for word, key in (("family", "cpu_family"), ("model", "cpu_model"))
        if chip[key] is not None
    ]
    with_ = [f"{title} {told[key]}" for title, key in LIBRARIES if told[key] is not None]
    found = (
        f"{here} on {' '.join([chip['cpu'], *numbers])}; {', '.join(with_) or 'no oneDNN or MKL'}"
    )
    several = recorded_instruction_sets(results)
    if several and not has_card():
        several |= {here}
    if len(several) > 1:
        found += f"; with the records in {results} there are {' and '.join(sorted(several))}"
        remedy = "train the cells of a study on one instruction set: others are other draws"
        return Check(name, "warning", found, remedy)
    return Check(name, "ok", found)


def _writable(results: Path) -> Check:
    place = _existing(results)
    try:
        with tempfile.NamedTemporaryFile(dir=place):
            pass
    except OSError as error:
        found = f"{place} cannot be written: {error.strerror or error}"
        return Check("results", "error", found, "choose another results folder, or free this one")
    return Check("results", "ok", str(results.resolve()))


def _disk(results: Path) -> Check:
    free = shutil.disk_usage(_existing(results)).free
    found = f"{free / GIB:.1f} GiB free"
    if free >= DISK_LOW:
        return Check("disk", "ok", found)
    level: Level = "error" if free < DISK_LEAST else "warning"
    return Check("disk", level, found, "free space, or put the results on another disk")


def _existing(path: Path) -> Path:
    path = path.resolve()
    return next(place for place in (path, *path.parents) if place.exists())


def _git_commit() -> Check:
    """What records will say of the code that made them."""
    if checkout() is None:
        return Check("git commit", "ok", "none: a wheel, which records name by its version")
    commit, dirty = git_state()
    if commit is None:
        remedy = "run from a git checkout, so that records name the code that made them"
        return Check("git commit", "warning", "none", remedy)
    if dirty:
        remedy = "commit first if the results are to be kept"
        return Check("git commit", "warning", f"{commit[:12]}, with changes", remedy)
    return Check("git commit", "ok", commit[:12])
