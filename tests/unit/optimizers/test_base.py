"""The axis of optimizers: ours, timm's by their names, and what each of them takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from timm.optim import create_optimizer_v2, list_optimizers
from torch import Tensor, nn

from agc.errors import UserError
from agc.grids.cell import Cell, make_cell
from agc.grids.files import Recipe
from agc.grids.recipes import apply_recipe
from agc.optimizers.base import make_optimizer, optimizer_cost
from agc.optimizers.shared.timms import names
from agc.registry import OPTIMIZERS

FIELDS = {"dataset": "digits", "architecture": "resnet8"}
SHARED = {"lr": 0.01, "momentum": 0.8, "nesterov": True, "weight_decay": 0.02}


def described(recipe: dict[str, Any], **fields: Any) -> Cell:
    return make_cell(
        apply_recipe({**FIELDS, **fields}, Recipe(training={"optimizer": recipe})), "here"
    )


def trained(optimizer: torch.optim.Optimizer, model: nn.Module) -> list[Tensor]:
    for step in range(4):
        images = torch.randn(5, 6, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(images).pow(2).mean().backward()
        optimizer.step()
    return [p.detach() for p in model.parameters()]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_sgd_is_torch_s_to_the_bit(momentum: float) -> None:
    ours, theirs = network(), network()
    shared = {**SHARED, "momentum": momentum}
    one = make_optimizer("sgd", ours.parameters(), {}, **shared)
    two = torch.optim.SGD(theirs.parameters(), **{**shared, "nesterov": momentum > 0})
    assert isinstance(one, torch.optim.SGD)
    for a, b in zip(trained(one, ours), trained(two, theirs), strict=True):
        assert torch.equal(a, b)
    assert one.state_dict().keys() == two.state_dict().keys()


@pytest.mark.parametrize("name", ["sgdw", "adamw", "lion", "lamb", "adabelief", "nadam", "lars"])
def test_timm_s_is_what_timm_makes_of_the_model_to_the_bit(name: str) -> None:
    ours, theirs = network(), network()
    one = make_optimizer(name, ours.parameters(), {}, **SHARED)
    two = create_optimizer_v2(
        theirs, name, lr=0.01, weight_decay=0.02, momentum=0.8, filter_bias_and_bn=False
    )
    for a, b in zip(trained(one, ours), trained(two, theirs), strict=True):
        assert torch.equal(a, b)


def test_options_reach_timm_s_optimizer_and_the_cell_s_hash() -> None:
    optimizer = make_optimizer("adamw", network().parameters(), {"betas": [0.5, 0.6]}, **SHARED)
    assert tuple(optimizer.param_groups[0]["betas"]) == (0.5, 0.6)
    plain = described({"name": "adamw"})
    other = described({"name": "adamw", "options": {"betas": [0.5, 0.6]}})
    usual = described({"name": "adamw", "options": {"betas": [0.9, 0.999]}})
    assert plain.digest == usual.digest != other.digest
    assert "options" not in plain.model_dump(mode="json")["training"]["optimizer"]


def test_without_nesterov_means_so_for_timm_s_too() -> None:
    for nesterov in (True, False):
        shared = {**SHARED, "nesterov": nesterov}
        optimizer = make_optimizer("sgdw", network().parameters(), {}, **shared)
        assert optimizer.param_groups[0]["nesterov"] is nesterov


def test_timm_s_names_are_known_without_timm() -> None:
    code = (
        "import sys\n"
        "from agc.registry import OPTIMIZERS\n"
        "print(*(n for n in OPTIMIZERS.library_names() if OPTIMIZERS.options(n)))\n"
        "assert not {'torch', 'timm'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    aliases = {"nesterov", "nesterovw"}  # of sgd and sgdw
    assert set(done.stdout.split()) == set(list_optimizers()) - aliases


@pytest.mark.parametrize(
    ("recipe", "fields", "message"),
    [
        ({"name": "adamm"}, {}, "unknown optimizer 'adamm'; did you mean 'adam"),
        ({"name": "adamw", "nesterov": True}, {}, "optimizer 'adamw' takes no nesterov, got True"),
        ({"name": "adamw", "momentum": 0.9}, {}, "optimizer 'adamw' takes no momentum, got 0.9"),
        (
            {},
            {"optimizer": {"name": "adamw", "momentum": 0.9}},
            "optimizer 'adamw' takes no momentum, got 0.9",
        ),
        (
            {},
            {"optimizer": "adamw", "training": {"optimizer": {"nesterov": False}}},
            "optimizer 'adamw' takes no nesterov, got False",
        ),
        (
            {"name": "adamw", "options": {"beta": 1}},
            {},
            "unknown option of optimizer 'adamw' 'beta'; did you mean 'betas'",
        ),
        ({"name": "sgd", "options": {"k": 1}}, {}, "unknown option of optimizer 'sgd' 'k'"),
        ({"name": "sgd", "options": 5}, {}, "training.optimizer.options = 5"),
        ({}, {"optimizer": 5}, "optimizer: 5 is neither a name nor a mapping with a name"),
    ],
)
def test_what_an_optimizer_does_not_take_is_refused_by_name(
    recipe: dict, fields: dict, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        described(recipe, **fields)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_second_order_is_refused_when_a_cell_is_described() -> None:
    with pytest.raises(UserError, match="'adahessian': it differentiates the gradient once more"):
        described({"name": "adahessian"})
    with pytest.raises(UserError, match="unknown optimizer 'adamm'; did you mean 'adam'"):
        described({"name": "adamm"})


@pytest.mark.parametrize("name", [n for n in names() if not n.startswith(("bnb", "fused"))])
def test_every_timm_optimizer_is_refused_or_takes_steps(name: str) -> None:
    if OPTIMIZERS.refuse(name, None, {}) is not None:
        assert name == "adahessian"
        return
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = make_optimizer(
        name, model.parameters(), OPTIMIZERS.resolve(name, {}), lr=0.01, weight_decay=0.0
    )
    with torch.compiler.set_stance("force_eager"):  # some compile themselves, for a minute
        after = trained(optimizer, model)
    assert all(torch.isfinite(p).all() for p in after)
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_an_entry_takes_of_a_recipe_for_another_what_it_has() -> None:
    recipe = {"name": "sgd", "lr": 0.3, "momentum": 0.7, "nesterov": False, "weight_decay": 0.1}
    optimizer = described(recipe, optimizer="adamw").training.optimizer
    assert (optimizer.name, optimizer.lr, optimizer.weight_decay) == ("adamw", 0.3, 0.1)
    optimizer = described(recipe, optimizer={"name": "adamw", "lr": 0.01, "eps": 1e-6})
    assert optimizer.training.optimizer.lr == 0.01
    assert optimizer.training.optimizer.options == {"eps": 1e-6}


def test_slugs_name_ours_but_neither_the_default_nor_timm_s() -> None:
    names = {name: described({}, optimizer=name).slug for name in ("sgd", "sgdw", "lookahead")}
    assert names["sgd"].startswith("digits.resnet8.standard.dense.none.s0.")
    assert names["sgdw"].startswith("digits.resnet8.standard.dense.none.s0.")
    assert names["lookahead"].startswith("digits.resnet8.standard.dense.none.lookahead.s0.")
    assert len(set(names.values())) == 3
    assert names["sgd"] == make_cell(FIELDS).slug


def test_costs_are_declared(tiny_cell) -> None:
    assert optimizer_cost("lookahead", {}).tensors == 1
    assert optimizer_cost("sgd", {}).tensors == optimizer_cost("adamw", {}).tensors == 0


def test_every_entry_can_be_copied_and_is_torch_s(tmp_path: Path) -> None:
    for name in OPTIMIZERS.names():
        optimizer = make_optimizer(name, network().parameters(), {}, **SHARED)
        assert isinstance(optimizer, torch.optim.Optimizer)
        assert isinstance(optimizer, OPTIMIZERS[name].target)
