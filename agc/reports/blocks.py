"""Generated blocks of Markdown pages, which are rewritten from the studies' own data.

A block stands between two comments, each on a line of its own::

    <!-- agc:NAME ARGUMENT ... -->
    what `agc readme` writes
    <!-- /agc -->

Arguments are divided as in a shell. No number is copied by hand, so none can be stale or rounded
twice.
"""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from agc.errors import UserError, unknown
from agc.reports.text import cards, corrections, findings, hypotheses, methods, robustness, studies

BLOCKS: dict[str, Callable[..., str]] = {
    "answer": findings.answer,
    "answers": hypotheses.answers,
    "bsr": robustness.bsr,
    "by": corrections.by,
    "cards": cards.cards,
    "contrasts": corrections.contrasts,
    "corrections": corrections.corrections,
    "demo": studies.demo,
    "dunnett": methods.dunnett,
    "findings": findings.findings,
    "ladder": findings.ladder,
    "methods": methods.methods,
    "paper": findings.paper,
    "studies": studies.studies,
    "systems": hypotheses.systems,
    "verdicts": findings.verdicts,
}
"""What makes the content of a block by its name: of the folder of reports, and its arguments."""

_CLOSING = "<!-- /agc -->"
_OPENING = re.compile(r"<!-- agc:([\w-]+)(?: (.*))? -->")
_MARKER = re.compile(r"<!--\s*/?agc\b")


class Block(NamedTuple):
    """A block of a page; ``first`` and ``last`` are the lines of its comments, from 0."""

    name: str
    arguments: list[str]
    first: int
    last: int


def rewritten(path: Path, reports: Path) -> tuple[str, str]:
    """The text of a page, and the same with the content of its blocks made anew.

    Args:
        path: a Markdown file.
        reports: the folder of the studies.

    Raises:
        UserError: the page cannot be read, a block is unknown or not closed, its arguments are
            wrong, or its data are missing; the message names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    lines = text.splitlines(keepends=True)
    for block in reversed(find_blocks(text, str(path))):
        lines[block.first + 1 : block.last] = [_content(block, path, reports) + "\n"]
    return text, "".join(lines)


def find_blocks(text: str, name: str) -> list[Block]:
    """The blocks of a page, in order.

    Raises:
        UserError: a comment that is no block's, or a block without an end; ``name`` is the page's.
    """
    found: list[Block] = []
    opened: tuple[str, list[str], int] | None = None
    for index, line in enumerate(text.splitlines()):
        where = f"{name}:{index + 1}"
        opening = _OPENING.fullmatch(line)
        if opening and opened is None:
            opened = (opening[1], _split(opening[2] or "", where), index)
        elif line == _CLOSING and opened is not None:
            found.append(Block(*opened, index))
            opened = None
        elif opening and opened is not None:
            raise _unclosed(opened, name)
        elif line == _CLOSING:
            raise UserError(f"{where}: {_CLOSING} closes nothing")
        elif _MARKER.match(line):
            raise UserError(
                f"{where}: {line.strip()!r} is neither <!-- agc:NAME ARGUMENT ... --> nor"
                f" {_CLOSING}"
            )
    if opened is not None:
        raise _unclosed(opened, name)
    return found


def _content(block: Block, path: Path, reports: Path) -> str:
    """What stands within a block, without the last line's end."""
    where = f"{path}:{block.first + 1}"
    try:
        if block.name not in BLOCKS:
            raise unknown("block", block.name, BLOCKS)
        make = BLOCKS[block.name]
        try:
            inspect.signature(make).bind(reports, *block.arguments)
        except TypeError as error:
            raise UserError(f"block {block.name!r}: {error}") from error
        return make(reports, *block.arguments).strip("\n")
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _split(text: str, where: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserError(f"{where}: {text!r}: {error}") from error


def _unclosed(opened: tuple[str, list[str], int], name: str) -> UserError:
    return UserError(f"{name}:{opened[2] + 1}: block {opened[0]!r} is not closed by {_CLOSING}")
