"""A cell given by options has the recipe that was meant, or is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from agc.errors import UserError
from agc.grids.options import cell_from_options
from agc.places import known_files
from tests.support.recipes import recipe

FIELDS = {"dataset": "digits", "architecture": "resnet8"}


pytestmark = pytest.mark.usefixtures("here")


def test_a_data_set_s_own_recipe_is_taken_and_the_present_folder_s_first(here: Path) -> None:
    assert cell_from_options(FIELDS, None, None, []).training.epochs == 8
    assert cell_from_options(FIELDS, "digits", None, []).training.epochs == 8
    recipe(here, "digits", "training: {epochs: 5}")
    assert cell_from_options(FIELDS, None, None, []).training.epochs == 5


def test_a_data_set_without_a_recipe_of_its_name_is_told_what_there_is(here: Path) -> None:
    fields = {**FIELDS, "dataset": "synthetic"}
    with pytest.raises(UserError) as told:
        cell_from_options(fields, None, None, [])
    message = str(told.value)
    assert message.startswith("data set 'synthetic' has no recipe of its name: give --recipe none ")
    assert all(name in message for name in known_files("recipes"))
    recipe(here, "synthetic", "training: {epochs: 3}")
    assert cell_from_options(fields, None, None, []).training.epochs == 3


def test_without_a_recipe_only_on_request(here: Path) -> None:
    recipe(here, "none", "training: {epochs: 1}")  # the word is taken; the file's path is not
    plain = cell_from_options(FIELDS, "none", None, [])
    assert (plain.training.epochs, plain.training.augmentation.crop) == (12, 0)
    path = "workflows/recipes/none.yaml"
    assert cell_from_options(FIELDS, path, None, []).training.epochs == 1


@pytest.mark.parametrize("text", ["training: {", "trainin: {epochs: 1}"])
def test_a_data_set_s_own_recipe_that_is_broken_is_an_error(here: Path, text: str) -> None:
    recipe(here, "digits", text)
    with pytest.raises(UserError, match=r"^workflows/recipes/digits\.yaml: "):
        cell_from_options(FIELDS, None, None, [])


def test_a_misspelt_data_set_is_what_is_said(here: Path) -> None:
    with pytest.raises(UserError, match="unknown dataset 'digit'; did you mean 'digits'"):
        cell_from_options({**FIELDS, "dataset": "digit"}, None, None, [])
