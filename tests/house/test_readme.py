"""The README's Python examples run, and its commands exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from agc.cli import app
from agc.conformance.checks import checks
from agc.registry import CORRECTIONS, DATASETS, METHODS, Registry
from agc.training.build import build
from agc.training.loop import train

README = Path(__file__).parents[2] / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def block(marker: str) -> str:
    """The one example that contains ``marker``."""
    (found,) = [text for text in BLOCKS if marker in text]
    return found


def run_block(text: str) -> dict[str, object]:
    """Execute an example as the module that it would be; its names."""
    names: dict[str, object] = {"__name__": "readme"}
    exec(compile(text, str(README), "exec"), names)
    return names


@pytest.fixture
def registries() -> Iterator[None]:
    """Put the axes back as they were: the examples register entries."""
    axes = (METHODS, CORRECTIONS, DATASETS)
    before = [{name: axis[name] for name in axis.names()} for axis in axes]
    yield
    for axis, entries in zip(axes, before, strict=True):
        axis._entries = entries


def test_example_of_the_library_trains_a_sparse_corrected_network() -> None:
    torch.manual_seed(0)
    names = run_block(block("from agc import AGC, RigL"))
    sparse, correction = names["sparse"], names["correction"]
    assert sparse.sparsity() == pytest.approx(0.9, abs=1e-3)
    assert correction.coefficient == pytest.approx(0.1 * correction.tau)
    for name, mask in sparse.masks.items():
        assert not sparse.parameters[name][~mask].any()
    assert sparse.exploration_rate() > 0.1


@pytest.mark.usefixtures("registries")
def test_new_method_and_correction_train_a_cell(tiny_cell) -> None:
    run_block(block("class Mine"))
    run_block(block("class Scale"))
    cell = tiny_cell(method="mine", sparsity=0.8, correction={"name": "scale", "options": {}})
    assert cell.correction.options == {"factor": 0.5}
    run = build(cell)
    assert [epoch for epoch, _ in train(run)] == list(range(1, cell.training.epochs + 1))
    assert run.method.sparsity() == pytest.approx(0.8, abs=1e-3)


@pytest.mark.usefixtures("registries")
def test_new_data_set_is_trained_on(tiny_cell) -> None:
    run_block(block("def noise"))
    cell = tiny_cell(dataset="noise", training={"validation": 0.5, "batch_size": 64})
    run = build(cell)
    assert run.loader.split.images.shape == (128, 3, 16, 16)
    assert len(list(train(run))) == cell.training.epochs


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    ("marker", "registry", "name"),
    [
        ("class Mine", METHODS, "mine"),
        ("class Scale", CORRECTIONS, "scale"),
        ("def noise", DATASETS, "noise"),
    ],
    ids=["method", "correction", "data set"],
)
def test_a_new_entry_keeps_what_all_entries_promise(
    marker: str, registry: Registry, name: str
) -> None:
    run_block(block(marker))
    for check in checks(registry, cells=False).values():
        check(name)


def test_commands_and_files_that_are_named_exist() -> None:
    named = set(re.findall(r"^agc (\w+)", TEXT, re.MULTILINE))
    known = {command.name for command in app.registered_commands}
    known |= {group.name for group in app.registered_groups}
    assert named
    assert named <= known
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", TEXT, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for link in re.findall(r"\]\(([^):]+)\)", TEXT):
        assert (README.parent / link).exists(), link
