from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agc.errors import UserError
from agc.registry import (
    ATTACKS,
    CORRECTIONS,
    DATASETS,
    METHODS,
    OBJECTIVES,
    OPTIMIZERS,
    Registry,
)

AXES = (METHODS, CORRECTIONS, OBJECTIVES, DATASETS, OPTIMIZERS, ATTACKS)

ENTRY = '''
from __future__ import annotations
from typing import Annotated, Literal
from pydantic import Field
from {package} import GADGETS

@GADGETS.register("{name}", colour="red")
class Gadget:
    """A thing
    of two lines.

    More about it."""

    def __init__(self, model, *, size: Annotated[int, Field(ge=1)] = 3,
                 shape: Literal["round", "square"] = "round", seed: int = 0) -> None:
        self.given = (model, size, shape, seed)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An axis of its own, a package with one entry in one file."""
    name = f"axis_{tmp_path.name}"  # no two tests import the same module
    package = tmp_path / name
    package.mkdir()
    (package / "__init__.py").write_text(
        f"from agc.registry import Registry\nGADGETS = Registry('gadget', {name!r}, ('seed',))\n"
    )
    (package / "hammer.py").write_text(ENTRY.format(package=name, name="hammer"))
    monkeypatch.syspath_prepend(tmp_path)
    return package


def registry_of(folder: Path) -> Registry:
    return __import__(folder.name).GADGETS


def plug_in(folder: Path, module: str, source: str) -> None:
    """A second distribution, installed beside the first, with one entry point for the axis."""
    (folder.parent / f"{module}.py").write_text(source)
    info = folder.parent / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{folder.name}]\n{module} = {module}\n")


def test_a_new_file_is_a_new_entry(folder: Path) -> None:
    (folder / "saw.py").write_text(ENTRY.format(package=folder.name, name="saw"))
    registry = registry_of(folder)
    assert registry.names() == ["hammer", "saw"]
    assert registry["saw"].facts == {"colour": "red"}
    assert registry["saw"].summary == "A thing of two lines."


def test_another_package_adds_an_entry_by_an_entry_point(folder: Path) -> None:
    plug_in(folder, "plugged_gadget", ENTRY.format(package=folder.name, name="drill"))
    assert registry_of(folder).names() == ["drill", "hammer"]


def test_a_broken_plug_in_is_reported_and_takes_nothing_with_it(folder: Path) -> None:
    plug_in(folder, "broken_gadget", "raise RuntimeError('out of order')")
    with pytest.warns(UserWarning, match="gadget 'broken_gadget' was not loaded: out of order"):
        assert registry_of(folder).names() == ["hammer"]


def test_the_same_name_in_two_files_is_refused(folder: Path) -> None:
    (folder / "saw.py").write_text(ENTRY.format(package=folder.name, name="hammer"))
    with pytest.raises(ValueError, match="gadget 'hammer' is registered twice"):
        registry_of(folder).names()


def test_an_unknown_name_is_answered_with_the_nearest_one(folder: Path) -> None:
    with pytest.raises(UserError, match="unknown gadget 'hamer'; did you mean 'hammer'"):
        registry_of(folder)["hamer"]


def test_options_get_their_defaults_and_what_the_suite_gives_is_none_of_them(
    folder: Path,
) -> None:
    registry = registry_of(folder)
    assert registry.resolve("hammer", {}) == {"size": 3, "shape": "round"}
    assert registry.resolve("hammer", {"size": 5}) == {"size": 5, "shape": "round"}
    made = registry.create("hammer", "model", options={"size": 5}, seed=7, sparsity=0.9)
    assert made.given == ("model", 5, "round", 7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"siz": 1}, "unknown option of gadget 'hammer' 'siz'; did you mean 'size'"),
        ({"seed": 1}, "unknown option of gadget 'hammer' 'seed'"),
        ({"size": 0}, "option size = 0: Input should be greater than or equal to 1"),
        ({"size": "big"}, "option size = 'big'"),
        ({"size": float("inf")}, "option size = inf"),
        ({"shape": "flat"}, "option shape = 'flat': Input should be 'round' or 'square'"),
    ],
)
def test_a_bad_option_is_one_clear_line(folder: Path, options: dict, message: str) -> None:
    with pytest.raises(UserError) as caught:
        registry_of(folder).resolve("hammer", options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("registry", AXES, ids=lambda registry: registry.kind)
def test_each_file_of_an_axis_gives_an_entry_that_says_what_it_is(registry: Registry) -> None:
    homes = {registry[name].target.__module__ for name in registry.names()}
    shared = {"base", "attack", "adversarial", "options", "threat", "store", "loader", "augment"}
    shared |= {"control_variate", "correlation", "official", "recursive", "evaluation_point"}
    shared |= {"older_point"}
    shared |= {"cifar", "encoded", "idx", "originals", "place", "prepare", "settings", "stream"}
    shared |= {"annealed", "drop_and_grow", "hidden", "manifest", "ranked", "sampled"}
    package = Path(sys.modules[registry.package].__path__[0])
    files = {path.stem for path in package.glob("*.py")} - shared - {"__init__"}
    assert {f"{registry.package}.{file}" for file in files} <= homes
    for name in registry.names():
        assert registry[name].summary.endswith(".")


def test_an_entry_that_is_there_is_named_when_a_method_is_misspelt() -> None:
    with pytest.raises(UserError, match="unknown method 'rigll'; did you mean 'rigl'"):
        METHODS["rigll"]


def test_an_option_that_has_to_be_given_is_missed_by_name() -> None:
    with pytest.raises(UserError, match=r"^dataset 'image-folder': option root is missing$"):
        DATASETS.resolve("image-folder", {"size": 16})
