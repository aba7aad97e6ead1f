from __future__ import annotations

import copy
import io

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from agc import rng
from agc.architectures import register_all
from agc.cost.flops import layer_flops
from agc.methods.srigl import SRigL
from agc.sparsity.channels import Channels, channel_masks, removable_channels, remove_channels
from agc.sparsity.masks import apply_masks, prunable_parameters


def vgg() -> nn.Module:
    """Two convolutions, pooling, and a classifier of two layers on a flattened 4 × 4 image."""
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 8, 3, padding=1),
        nn.GELU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 16, 20),
        nn.BatchNorm1d(20),
        nn.Dropout(0.0),
        nn.Tanh(),
        nn.Linear(20, 10),
    ).to(memory_format=torch.channels_last)


def resnet8() -> nn.Module:
    register_all()
    return timm.create_model("resnet8", width=8, num_classes=10)


NETWORKS = {"resnet8": resnet8, "vgg": vgg}


def trained(name: str) -> nn.Module:
    """A network whose batch norms have seen data, and have weights and biases of their own."""
    with rng.isolated(1):
        model = NETWORKS[name]()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
        for _ in range(3):
            model(images())
    return model


def images() -> Tensor:
    return torch.randn(6, 3, 16, 16, generator=rng.generator(0, "images"))


def half(channels: dict[str, Channels]) -> dict[str, Tensor]:
    generator = rng.generator(0, "channels")
    return {
        name: torch.randperm(group.size, generator=generator) < group.size // 2
        for name, group in channels.items()
    }


def masked(name: str) -> tuple[nn.Module, dict[str, Tensor], dict[str, Tensor]]:
    """A network with half of its channels masked, which are left, and the masks of its weights."""
    model = trained(name)
    channels = removable_channels(model)
    kept = half(channels)
    masks = channel_masks(model, channels, kept)
    apply_masks(dict(model.named_parameters()), masks)
    return model, kept, {n: m for n, m in masks.items() if n in prunable_parameters(model)}


def size_on_disk(model: nn.Module) -> int:
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.tell()


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


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("training", [False, True])
def test_the_smaller_network_computes_what_the_masked_one_does(name: str, training: bool) -> None:
    model, kept, masks = masked(name)
    before = copy.deepcopy(model.state_dict())
    smaller = remove_channels(model, masks)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    outputs = [network.train(training)(images()) for network in (model, smaller)]
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-5)
    for layer, keep in kept.items():
        assert len(smaller.get_submodule(layer).weight) == int(keep.sum())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_saving_is_real(name: str) -> None:
    model, _, masks = masked(name)
    smaller = remove_channels(model, masks)
    weights = prunable_parameters(smaller)
    assert sum(w.numel() for w in weights.values()) == sum(
        int(masks[n].sum()) if n in masks else w.numel()
        for n, w in prunable_parameters(model).items()
    )
    assert size_on_disk(smaller) < 0.7 * size_on_disk(model)
    flops = [
        layer_flops(m, images()[:1], prunable_parameters(m)).forward() for m in (model, smaller)
    ]
    assert flops[1] < 0.6 * flops[0]


def test_gradients_of_the_smaller_network_are_those_of_the_masked_one() -> None:
    model, kept, masks = masked("vgg")
    smaller = remove_channels(model, masks)
    for network in (model, smaller):
        network(images()).square().sum().backward()
    full, part = model[4].weight.grad, smaller[4].weight.grad
    torch.testing.assert_close(full[kept["4"]][:, kept["0"]], part, rtol=1e-4, atol=1e-4)


def test_channels_that_nothing_reads_go_and_what_they_read_goes_too() -> None:
    model = trained("vgg")
    masks = {"12.weight": torch.ones(10, 20, dtype=torch.bool)}
    masks["12.weight"][:, 3:] = False
    # Only outputs 0 to 2 of layer 8 are read, and they read nothing of channels 5 to 7 of layer 4.
    masks["8.weight"] = torch.ones(20, 128, dtype=torch.bool)
    masks["8.weight"][:3, 5 * 16 :] = False
    smaller = remove_channels(model, masks)
    assert [tuple(smaller[i].weight.shape) for i in (4, 8, 12)] == [(5, 12, 3, 3), (3, 80), (10, 3)]
    apply_masks(dict(model.named_parameters()), masks)
    model.eval()
    torch.testing.assert_close(smaller.eval()(images()), model(images()))


def test_a_masked_neuron_that_still_says_something_stays() -> None:
    model = trained("vgg")
    masks = {"0.weight": torch.ones(12, 3, 3, 3, dtype=torch.bool)}
    masks["0.weight"][4] = False  # its batch norm still has a bias
    assert len(remove_channels(model, masks)[0].weight) == 12
    with torch.no_grad():
        for vector in (model[0].bias, model[1].weight, model[1].bias):
            vector[4] = 0
    assert len(remove_channels(model, masks)[0].weight) == 11


def test_a_layer_keeps_its_last_channel() -> None:
    model = trained("vgg")
    masks = {"8.weight": torch.zeros(20, 128, dtype=torch.bool)}
    smaller = remove_channels(model, masks)
    assert len(smaller[4].weight) == 1
    apply_masks(dict(model.named_parameters()), masks)
    torch.testing.assert_close(smaller.eval()(images()), model.eval()(images()))


def test_ablated_neurons_of_srigl_may_be_removed_where_they_are_silent() -> None:
    model = nn.Sequential(nn.Linear(6, 4, bias=False), nn.ReLU(), nn.Linear(4, 2))
    method = SRigL(model, None, sparsity=2 / 3, total_steps=9, keep_dense=("@last",))
    method.masks["0.weight"].copy_(torch.tensor([[1], [0], [1], [0]]).bool().expand(4, 6))
    smaller = remove_channels(model, method.masks)
    assert smaller[0].out_features == smaller[2].in_features == 2
