"""``agc init``: a whole project, or nothing."""

from __future__ import annotations

import shutil
from contextlib import chdir
from pathlib import Path

import jsonschema
import pytest
import yaml

from agc.errors import UserError
from agc.grids import project
from agc.grids.grid import load_grid
from agc.grids.project import GRID, lay_project
from tests.support.command_line import agc


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_a_project_has_what_is_its_own_and_plans_its_grid(tmp_path: Path, repository: Path) -> None:
    done = agc("init", tmp_path / "mine" / "first")
    assert done.code == 0, done
    folder = tmp_path / "mine" / "first"
    profiles = repository / "workflows" / "profiles"
    assert files(folder) == {
        *("README.md", "Snakefile", "workflows/config.yaml"),
        *("workflows/grids/example.yaml", "workflows/recipes/example.yaml"),
        *(f"workflows/profiles/{name}" for name in files(profiles)),
    }
    with chdir(folder):
        grid = load_grid(GRID)
    assert grid.path == Path("workflows", "grids", "example.yaml")
    assert len(grid.cells) == 8
    assert {cell.training.epochs for cell in grid.cells} == {3}
    config = yaml.safe_load((folder / "workflows" / "config.yaml").read_text())
    shipped = yaml.safe_load((repository / "workflows" / "config.yaml").read_text())
    assert config == {**shipped, "grid": GRID}
    for kind in ("grid", "recipe"):
        schema = repository / "workflows" / "schemas" / f"{kind}.schema.json"
        content = yaml.safe_load((folder / "workflows" / f"{kind}s" / "example.yaml").read_text())
        jsonschema.validate(content, yaml.safe_load(schema.read_text(encoding="utf-8")))


def test_an_empty_folder_becomes_a_project_and_one_that_is_not_stays(tmp_path: Path) -> None:
    with chdir(tmp_path):
        assert agc("init", ".").code == 0
        before = files(tmp_path)
        assert agc("init", ".").message.startswith(". is not empty: ")
        assert files(tmp_path) == before
    (tmp_path / "file").touch()
    assert "file: File exists" in agc("init", tmp_path / "file").message


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["_fill", "rename"])
def test_a_project_that_cannot_be_finished_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: bool, error: BaseException, step: str
) -> None:
    folder = tmp_path / "project"
    if not new:
        folder.mkdir()
    moved: list[Path] = []

    def copy_one_and_fail(place: Path) -> None:
        shutil.copy(__file__, place / "README.md")
        raise error

    def move_one_and_fail(path: Path, target: Path) -> None:
        if moved:
            raise error
        moved.append(target)
        shutil.move(path, target)

    if step == "_fill":
        monkeypatch.setattr(project, "_fill", copy_one_and_fail)
    else:
        monkeypatch.setattr(Path, "rename", move_one_and_fail)
    with pytest.raises(UserError if isinstance(error, OSError) else KeyboardInterrupt):
        lay_project(folder)
    assert folder.exists() is not new
    assert not list(tmp_path.rglob("*.*"))
