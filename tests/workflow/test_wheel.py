"""What a user has who installs the wheel and has no checkout: the same cells, and a project."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from contextlib import chdir
from pathlib import Path

import pytest

from agc.files import read_json
from agc.places import known_files
from tests.support.command_line import SMALL, agc
from tests.support.project import environment, job_counts


def build(target: str, source: Path, folder: Path) -> Path:
    """The wheel or the sdist of the sources."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, text=True)
    (made,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    return build("wheel", repository, tmp_path_factory.mktemp("dist"))


def test_type_checkers_find_the_names_of_the_library(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert {"agc/__init__.pyi", "agc/py.typed"} <= {*archive.namelist()}


class Installed:
    """The wheel in an environment of its own, and an empty folder to work in.

    What it depends on comes from this test's environment by a path file. Path files of that are
    not read, so an editable installation stays out of sight.
    """

    def __init__(self, wheel: Path, root: Path) -> None:
        self.folder = root / "work"
        self.folder.mkdir()
        self.bin = root / "venv" / "bin"
        make = [sys.executable, "-m", "venv", "--without-pip", str(root / "venv")]
        subprocess.run(make, check=True, capture_output=True)
        pip = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "install"]
        pip += ["--no-index", "--no-deps", "--quiet", "--disable-pip-version-check", str(wheel)]
        subprocess.run(pip, check=True, capture_output=True, text=True, env=environment())
        (site,) = (root / "venv").glob("lib/python*/site-packages")
        shared = [path for path in sys.path if Path(path).name.endswith("-packages")]
        (site / "shared.pth").write_text("\n".join(shared), encoding="utf-8")
        where = self.run("python", "-P", "-c", "import agc; print(agc.__file__)").stdout.strip()
        assert Path(where) == site / "agc" / "__init__.py"
        self.shipped = site / "agc" / "shipped"

    def run(self, name: str, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run an executable of the environment, which must end with ``code``."""
        paths = os.pathsep.join((str(self.bin), os.environ["PATH"]))
        variables = environment(PATH=paths, COLUMNS="200")
        variables.pop("PYTHONPATH", None)
        done = subprocess.run(
            [self.bin / name, *map(str, arguments)],
            cwd=self.folder,
            env=variables,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def snakemake(self, *arguments: str) -> str:
        done = self.run("python", "-m", "snakemake", "--cores", "2", *arguments)
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(wheel, tmp_path_factory.mktemp("installed"))


def test_every_grid_has_the_cells_of_the_checkout(installed: Installed, tmp_path: Path) -> None:
    names = sorted(known_files("grids"))
    with chdir(tmp_path):
        ours = json.loads(agc("plan", *names, "--json").out)
    theirs = json.loads(installed.run("agc", "plan", *names, "--json").stdout)
    assert list(theirs) == list(ours)
    assert len(ours) > 1000


def test_a_command_trains_the_cell_that_it_trains_in_the_checkout(
    installed: Installed, tmp_path: Path
) -> None:
    command = (*SMALL, "--method", "rigl", "--sparsity", 0.9, "--device", "cpu")
    with chdir(tmp_path):
        done = agc(*command)
        assert done.code == 0, done
        (ours,) = Path("results", "cells").iterdir()
    installed.run("agc", *command)
    (theirs,) = (installed.folder / "results" / "cells").iterdir()
    assert theirs.name == ours.name
    cell = read_json(theirs / "cell.json")["cell"]
    assert cell["training"]["augmentation"]["crop"] == 1  # the recipe's, not the default
    assert (theirs / "epochs.csv").read_bytes() == (tmp_path / ours / "epochs.csv").read_bytes()
    assert read_json(theirs / "training.json")["provenance"]["git_commit"] is None


def test_what_has_no_recipe_is_not_trained(installed: Installed) -> None:
    told = installed.run(
        "agc", "train", "--dataset", "synthetic", "--architecture", "resnet8", code=2
    )
    assert "has no recipe of its name: give --recipe none for the defaults, or" in told.stderr


def test_a_project_runs_the_workflow_of_the_package(installed: Installed) -> None:
    installed.run("agc", "init", "project")
    assert "is not empty" in installed.run("agc", "init", "project", code=2).stderr
    arguments = ("--dry-run", "--directory", "project", "--snakefile", "project/Snakefile")
    planned = installed.snakemake(*arguments)
    once = ("plan", "train", "evaluate", "collect", "compare", "track", "page", "project")
    assert job_counts(planned) == {**dict.fromkeys(once, 1), "total": len(once)}
    # The package's own grids too, and its profiles.
    profile = ("--workflow-profile", "project/workflows/profiles/local")
    planned = installed.snakemake(*arguments, *profile, "--config", "grid=digits,example")
    assert re.search(r"output: .*reports/digits/comparison\.csv", planned)
    assert re.search(r"output: .*reports/example/comparison\.csv", planned)
    listed = installed.run("agc", "list", "grids").stdout
    assert "paper-rigl" in listed


def test_a_wheel_holds_the_workflow_and_the_sdist_makes_the_same_wheel(
    wheel: Path, repository: Path, tmp_path: Path
) -> None:
    tracked = ["git", "ls-files", "-z", "Snakefile", "workflows"]
    names = subprocess.run(tracked, cwd=repository, check=True, capture_output=True, text=True)
    with zipfile.ZipFile(wheel) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    for name in filter(None, names.stdout.split("\0")):
        assert held[f"agc/shipped/{name}"] == (repository / name).read_bytes(), name
    with tarfile.open(build("sdist", repository, tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = (path for path in tmp_path.iterdir() if path.is_dir())
    with zipfile.ZipFile(build("wheel", source, tmp_path)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == held
