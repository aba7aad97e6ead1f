"""Networks whose channels can be followed, and masks of whole channels."""

from __future__ import annotations

import timm
import torch
from torch import Tensor, nn

from agc import rng
from agc.architectures import register_all
from agc.sparsity.channels import Channels, channel_masks, removable_channels
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
