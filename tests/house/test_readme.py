"""Every README: its code runs, its commands are understood and run, what it names exists.

``PARSED`` lists the commands that are parsed and not run, and why; every other one runs, in a small
project with small settings.
"""

from __future__ import annotations

import re
import runpy
import shutil
import sys
import types
from contextlib import chdir
from pathlib import Path

import pytest
import timm.models._registry as timms
import torch
import yaml

import agc.registry
from agc.architectures import _registered_in, register_all
from agc.architectures.base import build_network
from agc.attacks.base import Threat, outcomes
from agc.grids.grid import load_grid
from agc.registry import ATTACKS, DATASETS, Registry
from agc.training.build import build
from agc.training.loop import train
from tests.house.imports import MODULES, ROOT
from tests.house.parsing import parse
from tests.house.readmes import READMES, Block, anchors, blocks, commands, links, mentions, paths
from tests.house.tables import TABLES
from tests.support.command_line import agc as run_agc
from tests.support.project import GRID, RECIPE, Project

PARSED = {
    r"make ": "sets up an environment, then minutes of training or tests",
    r"snakemake ": "tests/workflow runs grids; a cluster's profile needs the cluster",
    r"torchrun ": "tests/unit/gradients/test_distributed.py runs the example in two processes",
    r"(\S+/)?pip install ": "the network",
    r"(\S+/)?python -m (venv|hatchling) ": "an environment of its own; test_wheel.py makes both",
    r"python -m pytest ": "it is what runs here",
    r"pydeps ": "a tool of the reader's, which is not among the requirements",
    r"mlflow ui ": "a server, which does not end; tests/services starts it",
    r"agc data prepare ": "the network, or files that are not here",
    r"agc bench ": "measures this machine's speed for a while",
    r"agc evaluate .*--attacks (ladder|autoattack)": "minutes of attacks",
    r"agc check ": "tests/conformance runs the same checks on every entry",
}
"""Commands that are parsed by their program and not run, as regular expressions, and why not."""

BLOCKS = [block for path in READMES for block in blocks(path)]
LANGUAGES = {"python", "sh", "yaml", "text"}


def of(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def reason(command: str) -> str | None:
    """Why a command is parsed alone, or None if it runs."""
    return next((why for start, why in PARSED.items() if re.match(start, command)), None)


# --- Python ---------------------------------------------------------------------------------------


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the axes back as they were: the examples register entries."""
    register_all()  # what these imports register must stay
    for axis in vars(agc.registry).values():
        if isinstance(axis, Registry):
            axis.names()
            monkeypatch.setattr(axis, "_entries", dict(axis._entries))
    for name, known in vars(timms).items():
        if name.startswith("_mod") and isinstance(known, dict | set):
            monkeypatch.setattr(timms, name, known.copy())


def run_block(block: Block, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Execute an example as the module that it would be, or is; its names."""
    same = [name for name, path in MODULES.items() if path.read_text("utf-8") == block.text]
    module = types.ModuleType(same[0] if same else "readme")
    if not same:
        monkeypatch.setitem(sys.modules, module.__name__, module)
    torch.manual_seed(0)
    exec(compile(block.text, str(block), "exec"), vars(module))
    return vars(module)


def the_block(marker: str) -> Block:
    """The one example that contains ``marker``."""
    (found,) = [block for block in of("python") if marker in block.text]
    return found


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("block", of("python"), ids=str)
def test_python_blocks_run(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run_block(block, monkeypatch)
    if "sparse" in names:
        sparse = names["sparse"]
        assert sparse.sparsity() == pytest.approx(sparse.target, abs=1e-3)
        assert sparse.exploration_rate() > 1 - sparse.target
        for name, mask in sparse.masks.items():
            assert not sparse.parameters[name][~mask].any()


def test_the_first_page_shows_rigl_as_it_is() -> None:
    assert the_block("class RigL").text == MODULES["agc.methods.rigl"].read_text("utf-8")


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    ("marker", "fields", "training"),
    [
        ("class Mine", {"method": "mine", "sparsity": 0.8}, {}),
        ("class Scale", {"correction": "scale"}, {}),
        ("class Focal", {"objective": "focal"}, {}),
        ("def noise", {"dataset": "noise"}, {"validation": 0.5}),
        ("class Sign", {}, {"optimizer": {"name": "sign", "lr": 0.001}}),
    ],
    ids=["method", "correction", "objective", "data set", "optimizer"],
)
def test_a_new_entry_trains_a_cell(
    marker: str, fields: dict, training: dict, tiny_cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_block(the_block(marker), monkeypatch)
    cell = tiny_cell(**fields, training=training)
    run = build(cell)
    assert [epoch for epoch, _ in train(run)] == list(range(1, cell.training.epochs + 1))
    assert run.method.sparsity() == pytest.approx(cell.sparsity, abs=1e-3)


@pytest.mark.usefixtures("registries")
def test_a_new_architecture_is_found_and_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = the_block("def plain_net")
    file = tmp_path / "plain.py"
    file.write_text(block.text, encoding="utf-8")
    ((name, summary),) = _registered_in(file)
    assert summary == "Two convolutions and a linear layer."
    run_block(block, monkeypatch)
    network = build_network(name, {"width": 4}, (1, 8, 8), 10)
    assert network(torch.rand(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.usefixtures("registries")
def test_a_new_attack_attacks(monkeypatch: pytest.MonkeyPatch) -> None:
    run_block(the_block("class PGD100"), monkeypatch)
    attack = ATTACKS.create("pgd-100", options={})
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    images = torch.rand(16, 1, 8, 8)
    labels = network(images).argmax(dim=1)
    held = outcomes(attack, network, images, labels, Threat("linf", 0.3), seed=0)
    assert not held.any()


# --- shell ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A checkout whose grids and recipe are small, with trained and evaluated cells."""
    made = Project(tmp_path_factory.mktemp("readme") / "project", ROOT)
    made.recipe("digits", **RECIPE)
    small = {"recipe": "digits", "objectives": ["standard"], "methods": ["rigl"]}
    studies = {path.name for path in (ROOT / "reports").iterdir() if path.is_dir()} - {"digits"}
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
        data = "cifar10" if content["training"].get("validation", 0) > 1437 else "digits"
        grid = made.grid("shown", recipe="shown", datasets=[data], objectives=objectives)
    assert load_grid(str(grid)).cells


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


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_those_of_the_studies(name: str) -> None:
    text = " ".join((ROOT / name).read_text(encoding="utf-8").split())
    for table in TABLES[name]:
        made = table()
        assert " ".join(made.split()) in text, f"{name} should show:\n{made}"


def test_data_sets_are_all_in_their_manual() -> None:
    text = (ROOT / "agc" / "datasets" / "README.md").read_text(encoding="utf-8")
    assert not [name for name in DATASETS.names() if f"`{name}`" not in text]
