from __future__ import annotations

import pytest
import torch
from torch import nn

from agc.errors import UserError
from agc.gradients.uninitialized import refuse_uninitialized


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (nn.LazyLinear(3), "the model"),
        (nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.LazyConv1d(2, 1))), "layer '1.0'"),
        (nn.Sequential(nn.LazyBatchNorm1d(affine=False)), "layer '0'"),
        (nn.Sequential(nn.LazyBatchNorm1d(track_running_stats=False)), "layer '0'"),
    ],
)
def test_the_first_layer_without_weights_is_named(model: nn.Module, named: str) -> None:
    with pytest.raises(UserError, match=rf"RigL: {named} \(Lazy.* run one batch through the model"):
        refuse_uninitialized(model, "RigL")


def test_a_lazy_layer_that_has_seen_a_batch_is_one_like_others() -> None:
    model = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d(), nn.Linear(3, 1))
    model(torch.zeros(2, 5))
    refuse_uninitialized(model, "RigL")
