from __future__ import annotations

import pytest
from torch import nn

from agc.gradients.modes import evaluating, kept_modes


def network() -> nn.Sequential:
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2)))
    model[1][1].eval()
    return model


def modes(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


def test_each_module_gets_its_own_mode_back() -> None:
    model = network()
    before = modes(model)
    assert sum(before) == 4
    with evaluating(model):
        assert not any(modes(model))
        with kept_modes(model):
            model.train()
        assert not any(modes(model))
    assert modes(model) == before


def test_modes_come_back_from_a_block_that_raises() -> None:
    model = network()
    before = modes(model)
    with pytest.raises(KeyError), evaluating(model):
        raise KeyError
    assert modes(model) == before
