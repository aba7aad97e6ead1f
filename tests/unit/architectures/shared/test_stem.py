"""Networks of many families at 32×32: they train, keep enough resolution, and can be pruned."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional

from agc import rng
from agc.architectures.base import build_network
from agc.sparsity.masks import prunable_parameters

IMAGE = (3, 32, 32)
FAMILIES = {
    # family: (its smallest network, shape of the features of one image)
    "ResNet": ("resnet10t", (512, 4, 4)),
    "ResNeXt": ("resnext50_32x4d", (2048, 4, 4)),
    "WRN-50": ("wide_resnet50_2", (2048, 4, 4)),
    "VGG with batch norm": ("vgg11_bn", (512, 1, 1)),
    "MobileNet": ("mobilenetv3_small_050", (288, 2, 2)),
    "EfficientNet": ("test_efficientnet", (256, 2, 2)),
    "DenseNet": ("densenet121", (1024, 4, 4)),
    "ConvNeXt": ("test_convnext", (64, 4, 4)),
    "vision transformer": ("test_vit", (65, 64)),
    "Mixer": ("mixer_s32_224", (64, 512)),
    "RegNet": ("regnetx_002", (368, 2, 2)),
}

# timm's VGG has 120 million weights in its head; narrow or short ones say as much here.
SMALLER = {"vgg11_bn": {"mlp_ratio": 1 / 64}, "resnext50_32x4d": {"layers": (1, 1, 1, 1)}}
SMALLER["wide_resnet50_2"] = SMALLER["resnext50_32x4d"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_of_each_family_trains_on_small_images(family: str) -> None:
    name, expected = FAMILIES[family]
    with rng.isolated(1):
        model = build_network(name, SMALLER.get(name, {}), IMAGE, 10)
        images = torch.randn(2, *IMAGE)
    assert tuple(model.eval().forward_features(images[:1]).shape[1:]) == expected
    logits = model.train()(images)
    assert logits.shape == (2, 10)
    functional.cross_entropy(logits, torch.tensor([3, 7])).backward()
    gradients = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(g is not None and torch.isfinite(g).all() for g in gradients)
    check_prunable(model)


def check_prunable(model: nn.Module) -> None:
    """All matrices and kernels but positions, told by their names, can be pruned; no other."""
    found = set(prunable_parameters(model))
    assert found == {
        name for name, p in model.named_parameters() if name.endswith(".weight") and p.ndim >= 2
    }
    first = next(n for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    assert f"{first}.weight" in found


def test_the_wide_residual_network_of_imagenet() -> None:
    with torch.device("meta"):
        model = build_network("wide_resnet50_2", {}, IMAGE, 10)
        images = torch.empty(2, *IMAGE)
        assert model(images).shape == (2, 10)
        assert model.forward_features(images).shape == (2, 2048, 4, 4)
    # As in timm, but for classes and a first kernel of 3×3 in place of 7×7.
    stock = 68_883_240 - 1000 * 2049 - 64 * 3 * (49 - 9) + 10 * 2049
    assert sum(p.numel() for p in model.parameters()) == stock
    check_prunable(model)


@pytest.mark.parametrize("name", ["resnet10t", "test_convnext", "regnetx_002", "densenet121"])
def test_large_images_meet_the_network_as_timm_has_it(name: str) -> None:
    with torch.device("meta"):
        ours = build_network(name, {}, (3, 96, 96), 1000)
        theirs = timm.create_model(name)
    assert str(ours) == str(theirs)


@pytest.mark.parametrize("name", ["vgg11_bn", "resnet20", "wrn_16_1", "vgg16_c", "lenet5"])
def test_a_network_that_keeps_the_resolution_is_left_alone(name: str) -> None:
    image = (3, 32, 32)
    with torch.device("meta"):
        model = build_network(name, {}, image, 10)
        sized = {} if name in ("vgg11_bn", "resnet20", "wrn_16_1") else {"img_size": 32}
        stock = timm.create_model(name, num_classes=10, in_chans=3, **sized)
    assert str(model) == str(stock)


@pytest.mark.parametrize(
    ("size", "patch"), [((32, 32), 4), ((28, 28), 2), ((64, 64), 8), ((8, 8), 1), ((32, 48), 4)]
)
def test_a_vision_transformer_cuts_small_images_into_eight_patches_or_more(size, patch) -> None:
    with torch.device("meta"):
        model = build_network("test_vit", {}, (1, *size), 10)
        assert model(torch.empty(2, 1, *size)).shape == (2, 10)
    assert model.patch_embed.patch_size == (patch, patch)
    assert model.patch_embed.grid_size == (size[0] // patch, size[1] // patch)


def test_the_patch_that_is_asked_for_is_the_one_that_is_cut() -> None:
    with torch.device("meta"):
        model = build_network("test_vit", {"patch_size": 8}, IMAGE, 10)
        large = build_network("test_vit", {}, (3, 160, 160), 10)
    assert model.patch_embed.grid_size == (4, 4)
    assert large.patch_embed.patch_size == (16, 16)
    assert large.patch_embed.grid_size == (10, 10)


def test_a_mixer_s_new_first_layer_is_drawn_like_the_others() -> None:
    with rng.isolated(5):
        model = build_network("mixer_s32_224", {}, IMAGE, 10)
    weight = model.stem.proj.weight.detach()
    assert weight.shape == (512, 3, 4, 4)
    # LeCun: variance 1 / fan-in; a truncated normal of 24,576 draws.
    assert float(weight.std()) == pytest.approx((3 * 16) ** -0.5, rel=0.03)
