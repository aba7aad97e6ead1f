"""The shape of a record, checked before anything is made of it."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from agc.errors import UserError
from agc.grids.axes import AXES

VERSION = 1


@cache
def _validator() -> Any:
    """The schema of the package with the axes that came after it, which a cell may lack."""
    from jsonschema import Draft202012Validator

    schema = json.loads(files("agc.records").joinpath("record.schema.json").read_text("utf-8"))
    cell = schema["properties"]["cell"]
    for axis in AXES.values():
        if axis.section is None:
            cell["properties"].setdefault(axis.name, {"$ref": "#/$defs/entry"})
    return Draft202012Validator(schema)


def required(block: str) -> list[str]:
    """Names that a block of a record always has, such as those of its costs."""
    return _validator().schema["properties"][block]["required"]


def validate_record(record: Any, source: Path) -> None:
    """Check a record against ``record.schema.json``.

    Args:
        record: what was read from, or will be written to, ``source``.
        source: the file, named in the message.

    Raises:
        UserError: it is no record, one of another version, or has a wrong or missing entry.
    """
    from jsonschema.exceptions import best_match

    if not isinstance(record, dict):
        raise UserError(f"{source} is not a record: expected an object with 'schema': {VERSION}")
    # A foreign version would fail in many places: its number is the reason to name.
    if record.get("schema") != VERSION:
        raise UserError(
            f"{source} has schema version {record.get('schema')!r}; this agc reads {VERSION}"
        )
    error = best_match(_validator().iter_errors(record))
    if error is not None:
        reason = error.message if len(error.message) <= 200 else f"{error.message[:200]}…"
        raise UserError(f"{source} is not a valid record at {error.json_path}: {reason}")
