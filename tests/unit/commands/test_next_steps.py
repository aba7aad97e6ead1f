"""Whoever does what the messages say arrives: each names a command that works where it was said."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from agc.grids.grid import load_grid
from agc.tracking import default_uri
from agc.tracking.server import grid_address
from tests.support.command_line import agc
from tests.support.finished_cells import finish
from tests.support.project import GRID, RECIPE

NAMED = re.compile(r"`(agc [^`]+)`")
# Neither the grid nor its folders are where a command looks for them by itself.
FILE = "a grid/tiny.yaml"
PLACES = ("--results", "my results", "--reports", "my reports")
FILLED = ("track", "sync", FILE, *PLACES)


@pytest.fixture
def project(here: Path, empty_store: Path) -> Path:
    """A grid whose cells are finished, and nothing is made of them yet."""
    content = {**GRID, "objectives": ["standard"], "methods": ["rigl"], "seeds": 2}
    for path, text in ((FILE, content), ("workflows/recipes/tiny.yaml", RECIPE)):
        (here / path).parent.mkdir(parents=True)
        (here / path).write_text(yaml.safe_dump(text), encoding="utf-8")
    finish(load_grid(FILE).cells, here / "my results" / "cells")
    return here


def named(text: str) -> str:
    """The one command that a message names."""
    (command,) = NAMED.findall(text)
    return command


def follow(*goal: str) -> list[str]:
    """Try a command and run what its message says, until it works: what was run for it, in order.

    What is run may itself need something before.
    """
    told: list[str] = []
    while (done := agc(*goal)).code:
        command = named(done.message)
        assert command not in told, f"{command} was run, and does not help: {done.message}"
        told += [*follow(*shlex.split(command)[1:]), command]
    return told


def test_from_finished_cells_to_their_page_and_their_runs(project: Path, empty_store: Path) -> None:
    pytest.importorskip("mlflow")
    said = agc("compare", FILE, "--show", *PLACES).message
    ran = follow("report", FILE, *PLACES)
    assert [command.split()[1] for command in ran] == ["collect", "compare"]
    assert named(said) == ran[-1]
    assert (project / "my reports" / "tiny" / "report.html").is_file()

    shown = agc("compare", FILE, "--show", *PLACES).out
    assert named(shown) == f"agc {shlex.join(FILLED)}"
    (project / "my results" / "mlflow.db").write_bytes(empty_store.read_bytes())
    said = agc("track", "ui", "tiny", "--results", "my results").message
    assert named(said) == "agc track sync GRID --results 'my results'"
    assert agc(*FILLED).code == 0
    shown = agc("compare", FILE, "--show", *PLACES).out
    assert named(shown) == "agc track ui tiny --results 'my results'"
    # The same command with the server left out, which a test in a browser starts.
    assert grid_address(default_uri(Path("my results")), "tiny", "", "").startswith("/#/")
