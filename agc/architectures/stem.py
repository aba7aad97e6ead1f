"""Stems for small images: ImageNet networks throw most of a 32×32 image away at once."""

from __future__ import annotations

from torch import nn

SMALL_IMAGE = 64
"""Up to this height and width, an ImageNet stem is replaced."""


def adapt_stem(model: nn.Module) -> nn.Module:
    """Make the stem of a convolutional network keep the resolution; returns the same model.

    The first convolution becomes 3×3 with stride 1, and a max-pooling directly in the root module
    is removed, as is usual for CIFAR. A network that keeps the resolution already is left as it
    is, and so is one that cuts the image into patches (kernel size equal to stride).
    """
    name, first = _first_convolution(model)
    if first is None or max(first.stride) == 1 or first.kernel_size == first.stride:
        return model
    replacement = nn.Conv2d(
        first.in_channels,
        first.out_channels,
        kernel_size=3,
        stride=1,
        padding=1,
        groups=first.groups,
        bias=first.bias is not None,
    )
    nn.init.kaiming_normal_(replacement.weight, mode="fan_out", nonlinearity="relu")
    if replacement.bias is not None:
        nn.init.zeros_(replacement.bias)
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, replacement)
    if isinstance(getattr(model, "maxpool", None), nn.Module):
        model.maxpool = nn.Identity()
    return model


def _first_convolution(model: nn.Module) -> tuple[str, nn.Conv2d | None]:
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            return name, module
    return "", None
