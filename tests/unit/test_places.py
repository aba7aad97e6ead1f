"""Grids and recipes: the present folder's, then the package's, and nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from agc import places
from agc.machine import doctor
from agc.machine.provenance import git_state
from agc.places import checkout, find_file, home, known_files, snakefile
from tests.support.recipes import recipe

pytestmark = pytest.mark.usefixtures("here")


def test_the_checkout_is_its_own_home(repository: Path) -> None:
    assert checkout() == home() == repository
    assert snakefile() == str(repository / "Snakefile")
    committed = {path.stem for path in repository.glob("workflows/grids/*.yaml")}
    assert set(known_files("grids")) == committed


def test_the_present_folder_comes_before_the_package_and_a_given_one_before_both(
    here: Path, repository: Path
) -> None:
    assert find_file("recipes", "digits") == repository / "workflows" / "recipes" / "digits.yaml"
    recipe(here, "digits", "training: {epochs: 1}")
    assert find_file("recipes", "digits") == Path("workflows", "recipes", "digits.yaml")
    given = recipe(here / "given", "digits", "training: {epochs: 2}")
    assert find_file("recipes", "digits", here / "given" / "workflows") == given
    assert find_file("recipes", str(given)) == given
    assert find_file("recipes", "fashion").is_relative_to(repository)


def test_a_wheel_has_no_commit_wherever_it_lies(
    monkeypatch: pytest.MonkeyPatch, repository: Path, here: Path
) -> None:
    assert doctor._git_commit().found.startswith((git_state()[0] or "none")[:12])
    (here / "agc" / "shipped").mkdir(parents=True)
    (here / ".git").symlink_to(repository / ".git")  # an environment within another's checkout
    monkeypatch.setattr(places, "PACKAGE", here / "agc")
    assert home() == here / "agc" / "shipped"
    assert checkout() is None
    assert git_state() == (None, False)
    check = doctor._git_commit()
    assert (check.level, check.remedy) == ("ok", "")
