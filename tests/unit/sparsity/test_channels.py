from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from agc.sparsity.channels import Channels, removable_channels
from tests.support.channel_problems import images, resnet8, vgg


def test_channels_within_a_block_count_and_those_that_are_added_do_not() -> None:
    found = removable_channels(resnet8())
    assert list(found) == [f"blocks.{i}.conv1" for i in range(3)]
    assert found["blocks.1.conv1"] == Channels(
        "blocks.1.conv1", 16, ("blocks.1.bn1",), {"blocks.1.conv2": 1}
    )


def test_channels_are_followed_through_pooling_and_flattening_to_the_classifier() -> None:
    assert removable_channels(vgg()) == {
        "0": Channels("0", 12, ("1",), {"4": 1}),
        "4": Channels("4", 8, (), {"8": 16}),
        "8": Channels("8", 20, ("9",), {"12": 1}),
    }


class Net(nn.Module):
    """Two convolutions with something between them."""

    def __init__(self, between: object, reader: nn.Module | None = None) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.between = between
        self.second = reader or nn.Conv2d(4, 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.between(self.first(x)))


@pytest.mark.parametrize(
    ("between", "reader", "exact"),
    [
        (functional.relu, None, True),
        (lambda x: functional.max_pool2d(x, 2).relu(), None, True),
        (lambda x: functional.adaptive_avg_pool2d(x, 1).flatten(1), nn.Linear(4, 2), True),
        (lambda x: x.mean((2, 3)), nn.Linear(4, 2), True),
        (lambda x: torch.mean(x, dim=(-2, -1), keepdim=True), nn.Conv2d(4, 2, 1), True),
        (lambda x: torch.flatten(x, start_dim=1), nn.Linear(4 * 256, 2), True),
        (torch.sigmoid, None, False),
        (lambda x: x + 1, None, False),
        (lambda x: x + x, None, False),
        (lambda x: torch.cat([x, x], 1), nn.Conv2d(8, 2, 1), False),
        (lambda x: x.mean((1, 3)), nn.Linear(16, 2), False),
        (lambda x: torch.flatten(x), nn.Linear(6 * 4 * 256, 2), False),
        (lambda x: x, nn.Linear(16, 4), False),
        (nn.LayerNorm(16), None, False),
        (lambda x: x, nn.Conv2d(4, 4, 3, groups=4), False),
        (nn.Conv2d(4, 4, 3, groups=4), None, False),
    ],
)
def test_what_may_lie_between_two_layers(between, reader: nn.Module | None, exact: bool) -> None:
    model = Net(between, reader)
    model(images())
    assert list(removable_channels(model)) == (["first"] if exact else [])


def test_a_weight_or_a_layer_that_is_used_twice_blocks() -> None:
    shared = nn.Conv2d(3, 3, 1)
    assert removable_channels(nn.Sequential(shared, nn.ReLU(), shared)) == {}
    tied = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    tied[2].weight = tied[0].weight
    assert removable_channels(tied) == {}


def test_a_network_that_cannot_be_traced_is_named() -> None:
    model = Net(lambda x: x if x.sum() > 0 else -x)
    with pytest.raises(ValueError, match="cannot be followed"):
        removable_channels(model)
