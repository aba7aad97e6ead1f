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
from agc.methods.small_dense import SmallDense
from agc.methods.srigl import SRigL
from agc.sparsity.masks import apply_masks, prunable_parameters
from agc.sparsity.small import SmallNetwork, remove_channels
from tests.support.channel_problems import NETWORKS, images, masked, trained


def size_on_disk(model: nn.Module) -> int:
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.tell()


def widths(small: SmallNetwork, *layers: str) -> list[tuple[int, ...]]:
    return [tuple(small.network.get_submodule(name).weight.shape[:2]) for name in layers]


def agree(model: nn.Module, masks: dict[str, Tensor], shown: Tensor | None = None) -> SmallNetwork:
    """The small network, which computes what the masked one does in evaluation mode."""
    small = remove_channels(model, masks)
    apply_masks(dict(model.named_parameters()), masks)
    shown = images() if shown is None else shown
    with torch.no_grad():
        torch.testing.assert_close(small.network(shown), model.eval()(shown), rtol=1e-5, atol=1e-5)
    return small


def all_of(model: nn.Module) -> dict[str, Tensor]:
    weights = prunable_parameters(model)
    return {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()}


def random_neurons(model: nn.Module) -> dict[str, Tensor]:
    """Masks that leave half of the neurons of all layers but the last, whose norms say more."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    masks = all_of(model)
    for mask in [*masks.values()][:-1]:
        mask[torch.rand(len(mask)) < 0.5] = False
    return masks


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("training", [False, True])
def test_the_smaller_network_computes_what_the_masked_one_does(name: str, training: bool) -> None:
    model, kept, masks = masked(name)
    before = copy.deepcopy(model.state_dict())
    small = remove_channels(model, masks)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    outputs = [network.train(training)(images()) for network in (model, small.network)]
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-5)
    for layer, keep in kept.items():
        assert small.after[layer] == int(keep.sum())
        assert small.before[layer] == len(keep)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_saving_is_real(name: str) -> None:
    model, _, masks = masked(name)
    smaller = remove_channels(model, masks).network
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
    smaller = remove_channels(model, masks).network
    for network in (model, smaller.train()):
        network(images()).square().sum().backward()
    full, part = model[4].weight.grad, smaller.get_submodule("4").weight.grad
    torch.testing.assert_close(full[kept["4"]][:, kept["0"]], part, rtol=1e-4, atol=1e-4)


def test_channels_that_nothing_reads_go_and_what_they_read_goes_too() -> None:
    model = trained("vgg")
    masks = {"12.weight": torch.ones(10, 20, dtype=torch.bool)}
    masks["12.weight"][:, 3:] = False
    # Only outputs 0 to 2 of layer 8 are read, and they read nothing of channels 5 to 7 of layer 4.
    masks["8.weight"] = torch.ones(20, 128, dtype=torch.bool)
    masks["8.weight"][:3, 5 * 16 :] = False
    small = agree(model, masks)
    assert widths(small, "4", "8", "12") == [(5, 12), (3, 80), (10, 3)]


@pytest.mark.parametrize(("bias", "left"), [(0.3, 12), (0.0, 11), (-0.3, 11)])
def test_a_masked_neuron_stays_if_its_batch_norm_says_something(bias: float, left: int) -> None:
    model = trained("vgg")
    masks = {"0.weight": torch.ones(12, 3, 3, 3, dtype=torch.bool)}
    masks["0.weight"][4] = False
    with torch.no_grad():
        for vector in (model[0].bias, model[1].running_mean):
            vector[4] = 0
        model[1].bias[4] = bias  # a ReLU follows
    assert agree(model, masks).after["0"] == left


def test_one_constant_channel_stands_for_all_where_images_are_padded() -> None:
    model = trained("vgg")
    masks = {"0.weight": torch.ones(12, 3, 3, 3, dtype=torch.bool)}
    masks["0.weight"][2:7] = False
    with torch.no_grad():
        model[1].bias[2:7] = torch.tensor([0.1, 0.2, 0.3, 0.4, 5.0])
        model[1].running_mean[2:7] = model[0].bias[2:7]
    assert agree(model, masks).after["0"] == 8


def test_a_bias_stands_for_constant_channels_where_images_are_not_padded() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.Sigmoid(),
        nn.Conv2d(8, 6, 3, bias=False),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(6 * 144, 5, bias=False),
    )
    masks = all_of(model)
    masks["0.weight"][:3] = False
    masks["2.weight"][4:] = False
    small = agree(model, masks)
    assert widths(small, "0", "2", "5") == [(5, 3), (4, 5), (5, 4 * 144)]


def test_a_layer_keeps_its_last_channel() -> None:
    model = trained("vgg")
    assert agree(model, {"8.weight": torch.zeros(20, 128, dtype=torch.bool)}).after["4"] == 1


def test_ablated_neurons_of_srigl_go() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    method = SRigL(model, None, sparsity=2 / 3, total_steps=9, keep_dense=("@last",))
    method.masks["0.weight"].copy_(torch.tensor([[1], [0], [1], [0]]).bool().expand(4, 6))
    small = agree(model, method.masks, torch.randn(5, 6))
    assert widths(small, "0", "2") == [(2, 6), (2, 2)]


@pytest.mark.parametrize(
    "name", ["resnet8", "wrn_16_1", "vgg16_bsr", "resnet18_cifar", "densenet121", "regnety_002"]
)
def test_networks_with_additions_and_joins_and_products_compute_the_same(name: str) -> None:
    register_all()
    with rng.isolated(3):
        model = timm.create_model(name, num_classes=7)
        masks = random_neurons(model)
        shown = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        model(shown)
    small = agree(model, masks, shown)
    assert small.removed > 0


@pytest.mark.parametrize("name", ["resnet8", "wrn_16_1", "resnet18_cifar"])
def test_of_small_dense_the_narrow_network_is_left(name: str) -> None:
    register_all()
    with rng.isolated(3):
        model = timm.create_model(name, num_classes=7)
    method = SmallDense(model, None, sparsity=0.9)
    small = agree(model, method.masks, torch.randn(4, 3, 32, 32))
    expected = {n: int(m.flatten(1).any(dim=1).sum()) for n, m in method.masks.items()}
    assert {f"{name}.weight": left for name, left in small.after.items()} == expected
    weights = prunable_parameters(small.network)
    assert sum(w.numel() for w in weights.values()) == sum(method.active().values())


class Shortcut(nn.Module):
    """A shortcut whose channels move to other places."""

    def __init__(self, padding: tuple[int, int]) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1, bias=False)
        self.second = nn.Conv2d(4, 4 + sum(padding), 1, bias=False)
        self.fc = nn.Linear(4 + sum(padding), 2)
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        shortcut = functional.pad(x, (0, 0, 0, 0, *self.padding))
        return self.fc((self.second(x) + shortcut).mean((2, 3)))


@pytest.mark.parametrize("padding", [(0, 3), (2, 0), (1, 2)])
@pytest.mark.parametrize("dead", [(), (0,), (3,), (1, 2), (0, 2, 3), (0, 1, 2, 3)])
def test_a_padded_shortcut_loses_channels_before_it(
    padding: tuple[int, int], dead: tuple[int, ...]
) -> None:
    model = Shortcut(padding)
    masks = all_of(model)
    masks["first.weight"][[*dead]] = False
    small = agree(model, masks)
    assert small.after == {
        "first": max(1, 4 - len(dead)),
        # Of an input that is zero all that is left is a bias of the classifier.
        "second": 4 + sum(padding) if len(dead) < 4 else 1,
        "fc": 2,
    }


def test_the_layout_of_the_weights_stays() -> None:
    model, _, masks = masked("vgg")
    weight = remove_channels(model, masks).network.get_parameter("4.weight")
    assert not weight.is_contiguous()
    assert weight.is_contiguous(memory_format=torch.channels_last)
    plain = remove_channels(model.to(memory_format=torch.contiguous_format), masks).network
    assert plain.get_parameter("4.weight").is_contiguous()


def test_what_keeps_a_layer_whole_is_named() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ChannelShuffle(2), nn.Conv2d(4, 4, 1), nn.ReLU())
    masks = all_of(model)
    masks["0.weight"][1] = False
    small = agree(model, masks)
    assert small.removed == 0
    assert small.whole == {"0": "_1", "2": "output"}


def test_a_layer_that_cannot_be_traced_is_named() -> None:
    class Chooses(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(Chooses()))
    with pytest.raises(ValueError, match=r"channels of '1.0' of this network cannot be followed"):
        remove_channels(model, {})
