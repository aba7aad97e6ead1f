"""The error that a user can mend."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class UserError(Exception):
    """Bad input: a message of one line that names the bad value and what is allowed.

    The command line prints it without a traceback and exits with 2.
    """


LONGEST = 600
"""Letters of a list of names beyond which it is too long to be read in a message."""


def unknown(kind: str, name: str, allowed: Iterable[str]) -> UserError:
    """Error for a name that is not among ``allowed``, with its nearest match."""
    names = sorted(allowed)
    near = get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(names)
    listed = listed if len(listed) <= LONGEST else f"{len(names)} names"
    return UserError(f"unknown {kind} {name!r}{hint} (known: {listed})")


def describe(error: ValidationError) -> str:
    """First problem of a pydantic error in one line: key, bad value, what is wrong."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key {where!r}"
    if not where:
        return message
    if first["type"] == "missing":
        return f"{where} is missing"
    return f"{where} = {first.get('input')!r}: {message}"
