"""The tests are laid out as the package is, and no file of them leans on another one's tests."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.house.imports import PACKAGE, ROOT

TESTS = ROOT / "tests"
LANES = {path.name for path in TESTS.iterdir() if path.is_dir()} - {"__pycache__", "support"}
FILES = sorted(TESTS.rglob("*.py"))
UNIT = sorted(path for path in (TESTS / "unit").rglob("*.py") if path.name != "conftest.py")


def imported(path: Path) -> Iterator[list[str]]:
    """Modules of ``tests`` that a file imports, each as its parts below ``tests``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.split(".")[1:] for name in names if name.split(".")[0] == "tests")


def test_unit_tests_lie_where_what_they_test_does() -> None:
    for path in UNIT:
        own = path.relative_to(TESTS)
        assert path.name.startswith("test_"), f"{own}: helpers belong into tests/support"
        place = path.parent.relative_to(TESTS / "unit")
        if place == Path():
            module = PACKAGE / path.name.removeprefix("test_")
            assert module.is_file(), f"{own}: there is no agc/{module.name}"
        else:
            assert (PACKAGE / place / "__init__.py").is_file(), f"{own}: there is no agc/{place}"


def test_no_test_file_imports_another() -> None:
    for path in FILES:
        files = [
            parts for parts in imported(path) if any(p.startswith("test_") for p in parts[:-1])
        ]
        assert not files, f"{path.relative_to(TESTS)} imports {files}"


def test_lanes_share_what_lies_in_support_alone() -> None:
    for path in FILES:
        lane = path.relative_to(TESTS).parts[0]
        for parts in imported(path):
            allowed = {"support", "conftest", lane} if lane in LANES else {"support"}
            assert parts[0] in allowed, f"{path.relative_to(TESTS)} imports tests.{'.'.join(parts)}"


def test_outside_of_unit_every_test_file_has_a_name_of_its_own() -> None:
    files = {*FILES} - {*UNIT}
    names = Counter(path.name for path in files if path.name.startswith("test_"))
    assert not [name for name, count in names.items() if count > 1]


def test_the_lanes_are_those_of_the_manual() -> None:
    text = (TESTS / "README.md").read_text(encoding="utf-8")
    named = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}
    assert named == LANES
