"""The architecture holds by itself: floors, circles, axes, and a sentence for each folder."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from agc.architectures import own_summaries
from agc.registry import Registry
from tests.house.floors import AXES, FLOORS, GROUND
from tests.house.imports import MODULES, PACKAGE, arrows, imports, room

FOLDERS = sorted(path.parent for path in PACKAGE.rglob("__init__.py"))
TOP = {"agc", "cli", "__main__"}
"""The package's own names, and the program: above all floors."""


def test_every_folder_has_a_floor() -> None:
    folders = {path.name for path in FOLDERS if path.parent == PACKAGE}
    assert folders == set(FLOORS), "a folder without a floor, or a floor without a folder"
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert modules == GROUND | TOP - {"agc"}, "only the ground and the program lie at the root"


def test_no_folder_imports_upward() -> None:
    order = list(FLOORS)
    for folder, allowed in FLOORS.items():
        upward = [name for name in allowed if order.index(name) >= order.index(folder)]
        assert not upward, f"{folder} is allowed to import {upward}, which stand above it"


def test_folders_import_what_they_are_allowed_to() -> None:
    used: dict[str, set[str]] = {folder: set() for folder in FLOORS}
    for module, other in arrows():
        here, there = room(module), room(other)
        if here in GROUND:
            assert there in GROUND, f"{module}, which is ground, imports {other}"
        elif here in FLOORS and there != here and there not in GROUND:
            assert there in FLOORS[here], f"{module} imports {other}: not in FLOORS[{here!r}]"
            used[here].add(there)
    assert used == FLOORS, "an import is allowed that nobody needs"


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: imports(module) for module in MODULES if module != "agc"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("axis", AXES)
def test_every_module_of_an_axis_registers_an_entry(axis: str) -> None:
    modules = {path.stem for path in (PACKAGE / axis).glob("*.py")} - {"__init__", "base"}
    folders = {path.parent.name for path in (PACKAGE / axis).glob("*/__init__.py")}
    assert folders <= {"shared"}, "an axis has entries and a folder `shared`, nothing else"
    assert (PACKAGE / axis / "base.py").is_file()
    without = [name for name in sorted(modules) if not _registers(PACKAGE / axis / f"{name}.py")]
    assert not without, f"no entry in {without}: machinery belongs into {axis}/shared"


@pytest.mark.parametrize("axis", AXES)
def test_shared_machinery_knows_no_entry(axis: str) -> None:
    for module in MODULES:
        if module.startswith(f"agc.{axis}.shared.") or module == f"agc.{axis}.base":
            entries = [other for other in imports(module) if _is_entry(other, axis)]
            assert not entries, f"{module} imports the entries {entries}"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_folder_says_in_one_sentence_what_belongs_there(folder: Path) -> None:
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    sentence = " ".join(text.split("\n\n")[0].split())
    assert sentence.endswith("."), f"{folder.name}: {sentence!r} is no sentence"
    assert len(sentence) > 20, f"{folder.name}: {sentence!r} says nothing"


def test_every_registry_scans_a_folder_of_the_house() -> None:
    import agc.registry as registry

    found = [value for value in vars(registry).values() if isinstance(value, Registry)]
    scanned = {one.package.removeprefix("agc.") for one in found}
    assert scanned | {"architectures"} == set(AXES)
    assert own_summaries(), "architectures register with timm"


def _registers(path: Path) -> bool:
    """Whether a function or class of the file has a decorator that registers it."""
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    decorators = [d for node in nodes for d in getattr(node, "decorator_list", [])]
    return any("register" in ast.unparse(decorator) for decorator in decorators)


def _is_entry(module: str, axis: str) -> bool:
    parts = module.split(".")
    return parts[:2] == ["agc", axis] and len(parts) == 3 and parts[2] not in ("base", "shared")
