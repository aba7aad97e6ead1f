"""What stands in the READMEs: their code blocks, and the commands in blocks and in running text."""

from __future__ import annotations

import re
import shlex
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from tests.house.imports import MODULES, ROOT

FOLDERS = ("agc", "envs", "examples", "reports", "tests", "workflows")
READMES = [
    ROOT / "README.md",
    *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("README.md"))),
]
PROGRAMS = ("agc", "make", "mlflow", "pip", "pydeps", "python", "snakemake", "torchrun")

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^\n    (\S.*)\n(?!    )", re.MULTILINE)
_SPAN = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block of a README."""

    path: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a README; an indented line is a command, too."""
    text = path.read_text(encoding="utf-8")
    found = [(match, match[1], match[2]) for match in _FENCE.finditer(text)]
    found += [(match, "sh", match[1]) for match in _INDENTED.finditer(_FENCE.sub("", text))]
    return [
        Block(path, text[: match.start()].count("\n") + 1, language, content)
        for match, language, content in found
    ]


def of(language: str) -> list[Block]:
    """The blocks of all READMEs in one language."""
    return [block for path in READMES for block in blocks(path) if block.language == language]


def the_block(marker: str) -> Block:
    """The one Python example that contains ``marker``."""
    (found,) = [block for block in of("python") if marker in block.text]
    return found


def run_block(block: Block, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Execute an example as the module that it would be, or is; its names."""
    same = [name for name, path in MODULES.items() if path.read_text("utf-8") == block.text]
    module = types.ModuleType(same[0] if same else "readme")
    if not same:
        monkeypatch.setitem(sys.modules, module.__name__, module)
    torch.manual_seed(0)
    exec(compile(block.text, str(block), "exec"), vars(module))
    return vars(module)


def commands(text: str) -> list[list[str]]:
    """The commands of a shell block as lists of words, without comments."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def prose(path: Path) -> str:
    """A README without its fenced blocks."""
    return _FENCE.sub("", path.read_text(encoding="utf-8"))


def mentions(path: Path) -> Iterator[list[str]]:
    """Commands in the running text, as lists of words."""
    for span in _SPAN.findall(prose(path)):
        words = span.split()
        if len(words) > 1 and words[0].rpartition("/")[2] in PROGRAMS:
            yield shlex.split(" ".join(words))


def links(path: Path) -> list[str]:
    """Targets of the links that stay within the repository."""
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)) if "://" not in target]


def anchors(path: Path) -> set[str]:
    """What ``#...`` may name: the headings as GitHub writes them."""
    heads = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def paths(path: Path) -> list[str]:
    """Files and folders of the repository that the running text names."""
    spans = _SPAN.findall(prose(path))
    whole = re.compile(rf"({'|'.join(FOLDERS)})/[\w./-]+")
    return [span for span in spans if whole.fullmatch(span)]
