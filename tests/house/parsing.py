"""Whether a command would be understood: by its program's own parser, without running it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.house.imports import ROOT


def parse(words: list[str]) -> None:
    """Parse a command.

    Raises:
        AssertionError: the program does not know it, or it names a file that does not exist.
    """
    program = Path(words[0]).name
    assert program in PARSERS, f"no parser for {' '.join(words)!r}"
    try:
        PARSERS[program](words[1:])
    except SystemExit as stop:
        raise AssertionError(f"not understood: {' '.join(words)}") from stop


def _clicked(command: Any, words: list[str]) -> None:
    """Parse by click, down to the last subcommand; what is still missing is the reader's."""
    while hasattr(command, "get_command"):
        assert words, "a group of commands alone"
        name, *words = words
        if name.isupper():  # agc COMMAND --help
            return
        group, command = command, command.get_command(None, name)
        assert command is not None, f"{group.name} has no command {name!r}"
    try:
        command.make_context(command.name, list(words))
    except Exception as error:
        # By their names: typer and MLflow have each a click of their own.
        if type(error).__name__ not in ("Exit", "MissingParameter"):
            raise AssertionError(f"{' '.join(words)}: {error}") from error


def _agc(words: list[str]) -> None:
    import typer

    from agc.cli import app

    _clicked(typer.main.get_command(app), words)


def _mlflow(words: list[str]) -> None:
    from mlflow.cli import cli

    _clicked(cli, words)


def _make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in (word for word in words if "=" not in word):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


def _snakemake(words: list[str]) -> None:
    from snakemake.cli import get_argument_parser

    known = get_argument_parser().parse_args(words)
    if known.workflow_profile is not None:
        assert (ROOT / known.workflow_profile / "config.yaml").is_file(), known.workflow_profile


def _torchrun(words: list[str]) -> None:
    from torch.distributed.run import get_args_parser

    known = get_args_parser().parse_args(words)
    if known.module:
        parse([known.training_script, *known.training_script_args])
    else:
        assert (ROOT / known.training_script).is_file(), known.training_script


def _pip(words: list[str]) -> None:
    # Whoever imports pip first cannot import setuptools any more, which torch's compiler does.
    import setuptools  # noqa: F401
    from pip._internal.commands import create_command

    assert words[0] == "install", words
    options, _ = create_command("install").parse_args(words[1:])
    for path in (*options.requirements, *options.editables):
        assert (ROOT / path).exists(), path


def _python(words: list[str]) -> None:
    if words[0] != "-m":
        assert (ROOT / words[0]).is_file(), words[0]
    elif words[1] == "pytest":
        assert all((ROOT / path).exists() for path in words[2:]), words
    else:
        assert " ".join(words[1:]) in MODULES, words


def _pydeps(words: list[str]) -> None:
    assert words[0] == "agc"


MODULES = {
    "venv .venv": "the Makefile makes its environment so",
    "hatchling build -t wheel": "tests/workflow/test_wheel.py runs it",
}
"""Modules whose commands are compared by their words, and why that is enough."""

PARSERS = {
    "agc": _agc,
    "make": _make,
    "mlflow": _mlflow,
    "pip": _pip,
    "pydeps": _pydeps,  # a tool of the reader's, not of the environment
    "python": _python,
    "snakemake": _snakemake,
    "torchrun": _torchrun,
}
