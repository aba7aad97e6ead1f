"""The container file and the conda environment, as far as they can be read without building."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml
from packaging.specifiers import SpecifierSet


def instructions(repository: Path) -> list[tuple[str, str]]:
    """Instruction and arguments of each line of the container file, continuations joined."""
    text = (repository / "envs" / "Containerfile").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines if line)]


def test_the_container_copies_what_is_there_and_installs_the_lock_alone(repository: Path) -> None:
    found = instructions(repository)
    assert found[0][0] == "FROM"
    for source in (rest.split()[0] for name, rest in found if name == "COPY"):
        assert (repository / source).exists()
    installs = [rest for name, rest in found if name == "RUN" and "pip install" in rest]
    assert len(installs) == 2
    for install in installs:
        assert "--no-deps" in install
    assert "--require-hashes -r envs/requirements.lock" in installs[0]


def test_its_name_is_the_one_that_the_workflow_asks_for(repository: Path) -> None:
    head = (repository / "envs" / "Containerfile").read_text(encoding="utf-8").splitlines()[0]
    (asked,) = re.findall(
        r'^container: "docker://(.*)"$', (repository / "Snakefile").read_text(), re.M
    )
    assert f"-t {asked} " in head
    for profile in ("kubernetes", "pod"):
        job = repository / "workflows" / "profiles" / profile / "job.yaml"
        assert asked in job.read_text(encoding="utf-8")


def test_container_and_conda_have_one_python_that_the_package_allows(repository: Path) -> None:
    conda = yaml.safe_load((repository / "envs" / "environment.yaml").read_text())
    (python,) = [
        entry.removeprefix("python=")
        for entry in conda["dependencies"]
        if entry.startswith("python=")
    ]
    assert instructions(repository)[0][1].startswith(f"python:{python}-slim")
    allowed = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert f"{python}.0" in SpecifierSet(allowed["requires-python"])
    # All else comes from the lock: conda's solver must never see it.
    assert {re.split("[=<>]", entry)[0] for entry in conda["dependencies"]} == {
        "python",
        "pip",
        "git",
    }


def test_an_image_is_built_without_results_and_environments(repository: Path) -> None:
    ignored = (repository / ".dockerignore").read_text().splitlines()
    assert {".venv", "results", ".snakemake"} <= set(ignored)


def test_every_locked_requirement_has_a_hash_and_no_address(repository: Path) -> None:
    text = (repository / "envs" / "requirements.lock").read_text(encoding="utf-8")
    pinned = re.findall(r"^([\w.-]+(?:\[[\w,-]+\])?)==", text, re.M)
    assert len(pinned) > 100
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in block, block
    assert "://" not in text
    assert "snakemake-executor-plugin-slurm" not in pinned
