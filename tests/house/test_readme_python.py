"""Every Python block of every README runs, and what it registers is an entry like all others."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm.models._registry as timms
import torch

import agc.registry
from agc.architectures import _registered_in, register_all
from agc.architectures.base import build_network
from agc.conformance.checks import DoesNotApply, checks
from agc.registry import (
    ATTACKS,
    COMMUNICATION,
    COMPRESSORS,
    CORRECTIONS,
    DATASETS,
    METHODS,
    OBJECTIVES,
    OPTIMIZERS,
    Registry,
)
from agc.training.build import build
from agc.training.loop import train
from tests.house.imports import MODULES
from tests.house.readmes import Block, of, run_block, the_block

ENTRIES = [
    ("class Mine", METHODS, "mine"),
    ("class Scale", CORRECTIONS, "scale"),
    ("class Focal", OBJECTIVES, "focal"),
    ("def noise", DATASETS, "noise"),
    ("class Sign", OPTIMIZERS, "sign"),
    ("class NoFeedback", COMMUNICATION, "no-feedback"),
    ("class BFloat16", COMPRESSORS, "bfloat16"),
    ("class PGD100", ATTACKS, "pgd-100"),
]
"""What the examples register: where it stands, its axis, its name."""

IN_A_CELL = {
    "mine": {"method": "mine", "sparsity": 0.8},
    "scale": {"correction": "scale"},
    "focal": {"objective": "focal"},
    "noise": {"dataset": "noise", "training": {"validation": 0.5}},
    "sign": {"training": {"optimizer": {"name": "sign", "lr": 0.001}}},
    "no-feedback": {"communication": "no-feedback"},
}


@pytest.fixture(autouse=True)
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


@pytest.mark.parametrize(("marker", "registry", "name"), ENTRIES, ids=[e[2] for e in ENTRIES])
def test_a_new_entry_keeps_what_all_entries_promise(
    marker: str, registry: Registry, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_block(the_block(marker), monkeypatch)
    held = 0
    for check in checks(registry, cells=False).values():
        try:
            check(name)
            held += 1
        except DoesNotApply:
            continue
    assert held


@pytest.mark.parametrize(
    ("marker", "registry", "name"), ENTRIES[: len(IN_A_CELL)], ids=list(IN_A_CELL)
)
def test_a_new_entry_trains_a_cell(
    marker: str, registry: Registry, name: str, tiny_cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_block(the_block(marker), monkeypatch)
    cell = tiny_cell(**IN_A_CELL[name])
    run = build(cell)
    assert [epoch for epoch, _ in train(run)] == list(range(1, cell.training.epochs + 1))
    assert run.method.sparsity() == pytest.approx(cell.sparsity, abs=1e-3)


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
