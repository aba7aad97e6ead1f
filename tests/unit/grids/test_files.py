"""The JSON schemas of grids, recipes and records are those that the code checks by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from agc.grids.files import GridFile, Recipe

DRAFT = "https://json-schema.org/draft/2020-12/schema"
MODELS = {"grid": GridFile, "recipe": Recipe}


def schema(repository: Path, name: str) -> Any:
    path = repository / "workflows" / "schemas" / f"{name}.schema.json"
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", MODELS)
def test_schema_is_the_model_s_and_committed_files_obey(repository: Path, name: str) -> None:
    found = schema(repository, name)
    assert found == {"$schema": DRAFT, **MODELS[name].model_json_schema()}
    paths = sorted(repository.glob(f"workflows/{name}s/*.yaml"))
    assert paths
    for path in paths:
        jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), found)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"sparsitys": [0.9]}, found)


def test_schema_of_the_record_is_the_one_in_the_package(repository: Path) -> None:
    own = repository / "agc" / "records" / "record.schema.json"
    assert schema(repository, "record") == json.loads(own.read_text(encoding="utf-8"))
