"""Every README: its commands are understood and run, its tables hold, what it names exists.

``PARSED`` lists the commands that are parsed and not run, and why; every other one runs, in a small
project with small settings.
"""

from __future__ import annotations

import re
import runpy
import shutil
from contextlib import chdir
from pathlib import Path

import pytest
import yaml

from agc.grids.grid import load_grid
from agc.registry import DATASETS
from tests.house.imports import ROOT
from tests.house.parsing import parse
from tests.house.readmes import (
    READMES,
    Block,
    anchors,
    blocks,
    commands,
    links,
    mentions,
    of,
    paths,
)
from tests.support.command_line import agc as run_agc
from tests.support.project import GRID, RECIPE, Project

PARSED = {
    r"make ": "sets up an environment, then minutes of training or tests",
    r"snakemake ": "tests/workflow runs grids; a cluster's profile needs the cluster",
    r"torchrun ": "tests/unit/gradients/test_distributed.py runs the example in two processes",
    r"(\S+/)?pip install ": "the network",
    r"python -m venv ": "an environment of its own, as the Makefile makes it",
    r"python -m pytest ": "it is what runs here",
    r"pydeps ": "a tool of the reader's, which is not among the requirements",
    r"agc track ui": "a server, which does not end; tests/unit/tracking/test_server.py starts it",
    r"agc data prepare ": "the network, or files that are not here",
    r"agc bench ": "measures this machine's speed for a while",
    r"agc evaluate .*--attacks (ladder|autoattack)": "minutes of attacks",
    r"agc evaluate .*--attacks jiio": "it attacks equilibrium networks, and the cell has none",
    r"agc compare (?!digits)\S+ --(from|against) ": "reports/README.md has those of one study",
    r"agc readme ": "another test asks the same of the pages of the repository",
    r"agc diagnose results/cells/SLUG ": "a cell that the reader has trained",
    r"agc tune ": "tests/unit/commands/test_tune.py, with made-up runs",
    r"agc plan .* --extend": "tests/unit/commands/test_extend.py runs it on a grid with a rule",
    r"agc train .* --set training\.start\.file=": "tests/unit/runs/test_start.py has such a file",
    r"agc predict ": "tests/unit/commands/test_predict.py, with made-up courses",
    r"agc plan .* --target-loss ": "tests/unit/commands/test_plan.py, with made-up courses",
    r"agc check ": "tests/conformance runs the same checks on every entry",
}
"""Commands that are parsed by their program and not run, as regular expressions, and why not."""

BLOCKS = [block for path in READMES for block in blocks(path)]
LANGUAGES = {"python", "sh", "yaml", "text"}


def reason(command: str) -> str | None:
    """Why a command is parsed alone, or None if it runs."""
    return next((why for start, why in PARSED.items() if re.match(start, command)), None)


# --- shell ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A checkout whose grids and recipe are small, with trained and evaluated cells."""
    made = Project(tmp_path_factory.mktemp("readme") / "project", ROOT)
    made.recipe("digits", **RECIPE)
    small = {"recipe": "digits", "objectives": ["standard"], "methods": ["rigl"]}
    studies = {path.parent.name for path in (ROOT / "reports").glob("*/records.parquet")}
    studies -= {"digits"}
    for name in ("digits", "mygrid", "example", *studies):
        made.grid(name, **GRID | small)
    shutil.copytree(ROOT / "examples", made.folder / "examples")
    (made.folder / "results").mkdir()
    shutil.copy(empty_store, made.folder / "results" / "mlflow.db")
    with chdir(made.folder):
        cells = [made.cell(slug) for slug in made.cells("digits")]
        for command in (
            *(["plan", "digits", "--write"], ["train", *cells], ["evaluate", *cells]),
            *(["collect", "digits"], ["compare", "digits"]),
        ):
            outcome = run_agc(*command)
            assert outcome.code == 0, outcome
    for name in ("example", *studies):
        shutil.copytree(made.folder / "reports" / "digits", made.folder / "reports" / name)
    return made.folder


def run(words: list[str], folder: Path) -> None:
    """Run a command in ``folder``, within this process."""
    with chdir(folder):
        if words[0] == "agc":
            outcome = run_agc(*words[1:])
            assert outcome.code == 0, outcome
        else:
            assert words[0] == "python", f"{words}: neither run nor in PARSED"
            runpy.run_path(words[1], run_name="__main__")


@pytest.mark.parametrize("block", of("sh"), ids=str)
def test_commands_run_or_are_understood(block: Block, project: Path, tmp_path: Path) -> None:
    asked = commands(block.text)
    assert asked
    for words in asked:
        parse(words)
    to_run = [words for words in asked if reason(" ".join(words)) is None]
    if to_run:
        folder = tmp_path / "project"
        shutil.copytree(project, folder)
        for words in to_run:
            run(words, folder)


def test_no_reason_is_left_over() -> None:
    every = [" ".join(words) for block in of("sh") for words in commands(block.text)]
    for start in PARSED:
        assert any(re.match(start, command) for command in every), start


@pytest.mark.parametrize(
    "command",
    [
        *("agc tain digits", "agc train --dataset digits --epoch-s 3", "agc list method"),
        *("make tset", "snakemake --core", "python examples/none.py", "python -m nothing"),
        *("pip install -r none.lock", "torchrun examples/none.py", "mlflow iu", "rm -r results"),
    ],
)
def test_a_wrong_command_is_not_understood(command: str) -> None:
    with pytest.raises(AssertionError):
        parse(command.split())


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_the_text_are_understood(path: Path) -> None:
    for words in mentions(path):
        parse(words)


# --- YAML, links, tables --------------------------------------------------------------------------


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_yaml_blocks_make_cells(block: Block, tmp_path: Path) -> None:
    """A grid with its recipe; a recipe with the smallest of grids."""
    made = Project(tmp_path, ROOT)
    content = yaml.safe_load(block.text)
    if "datasets" in content:
        grid = tmp_path / "workflows" / "grids" / "shown.yaml"
        grid.write_text(block.text, encoding="utf-8")
    else:
        (tmp_path / "workflows" / "recipes" / "shown.yaml").write_text(block.text, "utf-8")
        objectives = [*content.get("options", {}).get("objective", {"standard": {}})]
        data = "cifar10" if content.get("training", {}).get("validation", 0) > 1437 else "digits"
        network = "deq_tiny" if "jiio" in block.text else "resnet8"
        axes = {"datasets": [data], "architectures": [network], "objectives": objectives}
        grid = made.grid("shown", recipe="shown", **axes)
    loaded = load_grid(str(grid))
    assert loaded.cells
    reasons = {skip.reason for skip in loaded.skips}
    assert reasons >= {one["reason"] for one in content.get("exclude", [])}


def test_no_block_is_skipped() -> None:
    assert {block.language for block in BLOCKS} <= LANGUAGES
    assert all(block.path == ROOT / "README.md" for block in of("text")), "the tree alone is text"


def test_the_tree_of_the_first_page_is_that_of_the_repository() -> None:
    (tree,) = of("text")
    named = re.findall(r"^( *)(\w+)/", tree.text, re.MULTILINE)
    folders = {path.parent.name for path in (ROOT / "agc").glob("*/__init__.py")}
    assert [name for indent, name in named if indent] == sorted(folders)
    for _, name in (pair for pair in named if not pair[0]):
        assert (ROOT / name).is_dir(), name


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_paths_exist(path: Path) -> None:
    for link in links(path):
        target, _, anchor = link.partition("#")
        file = path.parent / target if target else path
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), link
    for name in paths(path):
        shown = [block for block in of("python") if f"`{name}`" in path.read_text("utf-8")]
        assert (ROOT / name).exists() or (path.parent / name).exists() or shown, name


def test_generated_blocks_are_those_of_the_studies() -> None:
    with chdir(ROOT):
        outcome = run_agc("readme", "--check")
    assert outcome.code == 0, f"`agc readme` writes them anew:\n{outcome.out}{outcome.err}"


def test_data_sets_are_all_in_their_manual() -> None:
    text = (ROOT / "agc" / "datasets" / "README.md").read_text(encoding="utf-8")
    assert not [name for name in DATASETS.names() if f"`{name}`" not in text]
