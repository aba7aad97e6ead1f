"""Stems for small images: ImageNet networks throw most of a 32×32 image away at once."""

from __future__ import annotations

from math import gcd
from typing import Any

import timm
import torch
from timm.layers import PatchEmbed, lecun_normal_
from torch import nn

SMALL_IMAGE = 64
"""Up to this height and width, an ImageNet stem is replaced."""

PATCHES = 8
"""Patches a side, at least, that a vision transformer gets of a small image; usual for CIFAR."""


def create_for_images(
    name: str, size: tuple[int, int], options: dict[str, Any], **common: Any
) -> nn.Module:
    """timm's network ``name`` for images of height and width ``size``; ``options`` win.

    A network that is built for one image size, such as a vision transformer or a perceptron, is
    told the size. If it cuts a small image into patches, they become the largest squares, not
    above its own, of which at least eight make up each side. Any other network is created as it
    is; :func:`adapt_stem` is for those.
    """
    cfg = timm.get_pretrained_cfg(name)
    if cfg is None or not cfg.fixed_input_size:
        return timm.create_model(name, **common, **options)
    chosen = {"img_size": size, **options}
    native = None if max(size) > SMALL_IMAGE or "patch_size" in options else _native_patch(name)
    if native is None:
        return timm.create_model(name, **common, **chosen)
    side = gcd(*size)
    fitting = [p for p in range(1, side + 1) if side % p == 0 and min(size) // p >= PATCHES]
    patch = min(native, max(fitting, default=1))
    if _takes_patch_size(name):
        return timm.create_model(name, **common, **{"patch_size": patch, **chosen})
    return _with_patches(name, size, patch, native, {**common, **options})


def adapt_stem(model: nn.Module) -> nn.Module:
    """Make the stem of a convolutional network keep the resolution; returns the same model.

    The first convolution becomes 3×3 with stride 1, and a max-pooling beside it or directly in
    the root module is removed, as is usual for CIFAR. At 32×32 the last map of a ResNet, a
    DenseNet or a ConvNeXt is 4×4 then, and that of a network whose stem only halved, such as
    EfficientNet or RegNet, 2×2. A network that keeps the resolution already is left as it is,
    and so is one with patches, whose size :func:`create_for_images` chooses.
    """
    name, first = _first_convolution(model)
    if first is None or max(first.stride) == 1 or "patch_embed" in name:
        return model
    # A mixer of patches has no convolution behind its first one that could see a neighbour.
    if first.kernel_size == first.stride and not _sees_neighbours(model, first):
        return model
    kernel: dict[str, Any] = {"kernel_size": 3, "stride": 1, "padding": 1, "groups": first.groups}
    if isinstance(first, nn.LazyConv2d):  # it draws its weights when it sees an image
        replacement = nn.LazyConv2d(first.out_channels, bias=first.bias is not None, **kernel)
    else:
        replacement = type(first)(
            first.in_channels, first.out_channels, bias=first.bias is not None, **kernel
        )
        nn.init.kaiming_normal_(replacement.weight, mode="fan_out", nonlinearity="relu")
        if replacement.bias is not None:
            nn.init.zeros_(replacement.bias)
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, replacement)
    for scope in {"", parent}:
        _remove_pools(model.get_submodule(scope))
    return model


def _first_convolution(model: nn.Module) -> tuple[str, nn.Conv2d | None]:
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            return name, module
    return "", None


def _sees_neighbours(model: nn.Module, first: nn.Conv2d) -> bool:
    others = (m for m in model.modules() if isinstance(m, nn.Conv2d) and m is not first)
    return any(max(module.kernel_size) > 1 for module in others)


def _remove_pools(parent: nn.Module) -> None:
    for name, child in parent.named_children():
        # timm's residual networks call theirs "maxpool", also where it is several layers.
        if name == "maxpool" or isinstance(child, nn.MaxPool2d):
            setattr(parent, name, nn.Identity())


def _native_patch(name: str) -> int | None:
    """Side of the patches that timm's network cuts by itself, or None if it cuts none."""
    with torch.device("meta"):
        _, first = _first_convolution(timm.create_model(name))
    if first is None or first.kernel_size != first.stride or max(first.stride) == 1:
        return None
    return int(first.kernel_size[0])


def _takes_patch_size(name: str) -> bool:
    """timm's mixers fix it in their entry, and refuse it as an argument."""
    try:
        with torch.device("meta"):
            timm.create_model(name, patch_size=_native_patch(name))
    except TypeError:
        return False
    return True


def _with_patches(
    name: str, size: tuple[int, int], patch: int, native: int, arguments: dict[str, Any]
) -> nn.Module:
    """The network for as many patches of its own size, then with the first layer exchanged."""
    height, width = (side // patch * native for side in size)
    model = timm.create_model(name, **{"img_size": (height, width), **arguments})
    embedding = next((m for m in model.modules() if isinstance(m, PatchEmbed)), None)
    if embedding is None:
        raise ValueError(f"its patches of {native} pixels cannot be made smaller")
    embedding.set_input_size(size, (patch, patch))
    lecun_normal_(embedding.proj.weight)
    return model
