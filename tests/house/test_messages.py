"""What a message tells to run next is understood, and is all that is needed to run it."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from agc.cli import app
from tests.house.imports import MODULES
from tests.house.parsing import parse
from tests.house.readmes import PROGRAMS

NAMES = {
    "grid": "digits",
    "path": "results/digits/records.parquet",
    "port": "5000",
    "elsewhere": " --results r",
    "both": " --results r --reports r",
    "place": "",
}
"""What stands in a message for an expression or a call of that name; any other is a grid's name."""

_NAMES = sorted(typer.main.get_command(app).commands)
MARKED = re.compile(r"`([^`]+)`")
INSTALL = re.compile(r"(?:^|: |, )(pip install [^;]+)")
WHOLE = re.compile(rf"^((?:agc (?:{'|'.join(_NAMES)})|snakemake) .+)$")
"""A string that is a command, and becomes a part of messages."""
PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\b")
"""A word that the reader puts something in for, as in ``agc collect GRID``."""


@dataclass(frozen=True)
class Named:
    """A command that a message names."""

    module: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line} {self.text}"


def messages(path: Path) -> Iterator[tuple[int, str]]:
    """All strings of a module but its docstrings, each f-string as it may read."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    joined = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    told = {id(part) for node in joined for part in ast.walk(node)}
    told |= {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in joined:
        yield node.lineno, "".join(map(_reads, node.values))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.lineno, node.value


def _reads(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    name = ast.unparse(part).strip("f'{}\"").partition("(")[0].rpartition(".")[2]
    return NAMES.get(name, "digits")


def named() -> list[Named]:
    """The commands of all messages: in backticks, by themselves, and what pip is to install."""
    found = []
    for module, path in MODULES.items():
        for line, text in messages(path):
            spans = [*MARKED.findall(text), *INSTALL.findall(text), *WHOLE.findall(text)]
            found += [Named(module, line, span) for span in spans if _is_command(span)]
    return found


def _is_command(span: str) -> bool:
    words = span.split()
    return len(words) > 1 and words[0] in PROGRAMS


COMMANDS = named()


def test_messages_name_commands() -> None:
    assert len(COMMANDS) > 15


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_in_a_message_is_understood(command: Named) -> None:
    words = shlex.split(PLACEHOLDER.sub("digits", command.text))
    parse(words)
    if words[0] == "snakemake":
        # Without it Snakemake ends at once.
        assert {"--cores", "--workflow-profile"} & {*words}, command
    if words[:2] in (["agc", "collect"], ["agc", "compare"], ["agc", "tune"]):
        assert len(words) > 2, f"{command} names no grid"
