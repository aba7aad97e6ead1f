"""The networks of the papers: sizes counted by hand, and as the sources print them."""

from __future__ import annotations

import itertools
import re

import pytest
import torch
from torch import nn

from agc import rng
from agc.architectures import own_names, register_all
from agc.architectures.base import build_network

SHAPES = {"lenet5": (1, 28, 28), "lenet300_100": (1, 28, 28), "vgg_small": (1, 28, 28)}
SHAPES |= {"deq_tiny": (1, 8, 8), "mdeq_small": (1, 8, 8)}


def on_meta(name: str, classes: int = 10, **options: object) -> nn.Module:
    """The network without its numbers, for the images it was made for."""
    with torch.device("meta"):
        return build_network(name, options, SHAPES.get(name, (3, 32, 32)), classes)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", own_names())
def test_a_network_has_the_parameters_that_its_docstring_says(name: str) -> None:
    import timm

    register_all()
    text = timm.model_entrypoint(name).__doc__
    (said,) = re.findall(r"([\d,]+) parameters\.", text)
    model = on_meta(name)
    assert parameters(model) == int(said.replace(",", ""))
    images = torch.empty(2, *SHAPES.get(name, (3, 32, 32)), device="meta")
    assert model(images).shape == (2, 10)
    assert model.get_classifier().out_features == 10
    model.reset_classifier(7)
    assert model.get_classifier().out_features == 7


def wide_parameters(depth: int, widen: int) -> int:
    """By hand: blocks of two batch norms and convolutions, 1×1 where a stage begins."""
    count, before = 9 * 3 * 16, 16
    for stage in range(3):
        now = 16 * 2**stage * widen
        for _ in range((depth - 4) // 6):
            count += 2 * before + 9 * before * now + 2 * now + 9 * now * now
            count += before * now if before != now else 0
            before = now
    return count + 2 * before + before * 10 + 10


@pytest.mark.parametrize("name", [name for name in own_names() if name.startswith("wrn")])
def test_wide_residual_networks_by_hand(name: str) -> None:
    _, depth, widen = name.split("_")
    assert parameters(on_meta(name)) == wide_parameters(int(depth), int(widen))


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("wrn_16_8", 11.0),  # arXiv 1605.07146
        ("wrn_22_8", 17.2),  # the same
        ("wrn_28_10", 36.5),  # the same
        ("wrn_28_2", 1.5),
        ("wrn_28_4", 5.8),
        ("wrn_34_10", 46.2),
        ("resnet20", 0.27),  # arXiv 1512.03385, table 6
        ("resnet32", 0.46),  # the same
        ("resnet56", 0.85),  # the same
        ("resnet18_cifar", 11.2),
        ("resnet34_cifar", 21.3),
        ("resnet50_cifar", 23.5),
        ("vgg16_cifar", 14.7),
        ("vgg19_cifar", 20.0),
    ],
)
def test_sizes_are_those_that_papers_print(name: str, millions: float) -> None:
    digits = len(str(millions).split(".")[1])
    assert round(parameters(on_meta(name)) / 1e6, digits) == millions


def vgg_convolutions(bias: bool, last_kernel: int, images: int = 3) -> int:
    count, before = 0, images
    for channels, layers in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for layer in range(layers):
            kernel = last_kernel if layer == 2 else 3
            count += kernel**2 * before * channels + (2 + bias) * channels
            before = channels
    return count


def test_vgg_networks_by_hand() -> None:
    # ITOP's VGG-C: 2 × 2 places are left of 32 × 32, as its 1×1 convolutions add a border.
    head = (2048 * 512 + 512) + 2 * 512 + (512 * 512 + 512) + 2 * 512 + (512 * 10 + 10)
    assert parameters(on_meta("vgg16_c")) == vgg_convolutions(True, 1) + head
    # BSR-Net's VGG-16: the last pool is missing, so 2 × 2 places are left here too.
    head = (2048 * 256 + 256) + (256 * 256 + 256) + (256 * 10 + 10)
    assert parameters(on_meta("vgg16_bsr")) == vgg_convolutions(False, 3) + head
    assert parameters(on_meta("vgg16_cifar")) == vgg_convolutions(True, 3) + 512 * 10 + 10


def test_the_strided_vgg_by_hand() -> None:
    widths = (1, 16, 32, 64, 128)
    layers = sum(9 * a * b + 2 * b for a, b in itertools.pairwise(widths))
    model = on_meta("vgg_small")
    assert parameters(model) == layers + 128 * 10 + 10 == 98_682
    # Strides 2, 2, 2, 1 round up: 28, 14, 7, 4, 4.
    places = model.forward_features(torch.empty(2, 1, 28, 28, device="meta")).shape
    assert places == (2, 128, 4, 4)
    model = on_meta("vgg_small", widths=(8, 8), strides=(1, 2))
    assert model.forward_features(torch.empty(2, 1, 28, 28, device="meta")).shape == (2, 8, 14, 14)


@pytest.mark.parametrize(
    "name", ["vgg16_cifar", "vgg16_c", "vgg16_bsr", "vgg_small", "wrn_16_1", "mlp_cifar10"]
)
@pytest.mark.parametrize("image", [(1, 28, 28), (3, 64, 64), (1, 8, 8)], ids=str)
def test_networks_take_other_images(name: str, image: tuple[int, int, int]) -> None:
    with torch.device("meta"):
        model = build_network(name, {}, image, 5)
    assert model(torch.empty(2, *image, device="meta")).shape == (2, 5)


def test_the_residual_network_keeps_its_stem_for_larger_images() -> None:
    with torch.device("meta"):
        model = build_network("resnet18_cifar", {}, (3, 96, 96), 10)
    assert (model.conv1.kernel_size, model.conv1.stride) == ((3, 3), (1, 1))
    assert isinstance(model.maxpool, nn.Identity)


def test_a_wide_block_is_the_one_of_the_paper() -> None:
    """Independent of the module's forward: the same function written out of its tensors."""
    from torch.nn import functional

    with rng.isolated(3):
        model = build_network("wrn_16_1", {}, (3, 8, 8), 10).eval()
        x = torch.randn(2, 16, 8, 8)
    block, state = model.blocks[2], model.blocks[2].state_dict()
    before = functional.relu(x / (1 + block.bn1.eps) ** 0.5)
    inner = functional.conv2d(before, state["conv1.weight"], stride=2, padding=1)
    inner = functional.relu(inner / (1 + block.bn2.eps) ** 0.5)
    inner = functional.conv2d(inner, state["conv2.weight"], padding=1)
    expected = inner + functional.conv2d(before, state["shortcut.weight"], stride=2)
    torch.testing.assert_close(block(x), expected)


def test_dropout_of_wide_networks_is_off_unless_asked_for() -> None:
    rates = {m.p for m in on_meta("wrn_16_2").modules() if isinstance(m, nn.Dropout)}
    assert rates == {0.0}
    asked = on_meta("wrn_16_2", drop_rate=0.3)
    assert {m.p for m in asked.modules() if isinstance(m, nn.Dropout)} == {0.3}


def test_the_initial_residual_branches_are_not_switched_off() -> None:
    with rng.isolated(0):
        model = build_network("resnet18_cifar", {}, (3, 8, 8), 10)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all((norm.weight == 1).all() for norm in norms)


@pytest.mark.parametrize(
    ("name", "options", "image", "message"),
    [
        ("lenet5", {}, (1, 8, 8), "too small for 2 convolutions"),
        ("wrn_16_2", {"depth": 17}, (3, 8, 8), "depth 17"),
    ],
)
def test_impossible_networks_are_refused(name, options, image, message) -> None:
    from agc.errors import UserError

    with pytest.raises(UserError, match=message):
        build_network(name, options, image, 10)
