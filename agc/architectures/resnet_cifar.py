"""CIFAR-style residual networks of three stages (He et al., arXiv 1512.03385, section 4.2).

Blocks of two 3×3 convolutions, shortcuts without weights (subsampling and zero channels, option
A of the paper), a 3×3 stem without pooling; they take any image size from 4×4 on.
"""

from __future__ import annotations

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn
from torch.nn import functional

from agc.architectures.shared.head import LinearHead


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with batch norm, and a shortcut without weights."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.new_channels = channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to [N, channels, H / stride, W / stride]."""
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.new_channels:
            shortcut = functional.pad(shortcut, (0, 0, 0, 0, 0, self.new_channels))
        x = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNetCifar(LinearHead):
    """Stem, three stages of ``depth`` blocks with ``width``, 2 and 4 ``width`` channels, head."""

    def __init__(
        self,
        depth: int,
        width: int = 16,
        num_classes: int = 10,
        in_chans: int = 3,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.num_features = 4 * width
        self.conv1 = nn.Conv2d(in_chans, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        blocks, channels = [], width
        for stage in range(3):
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(BasicBlock(channels, width << stage, stride))
                channels = width << stage
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward_features(self, x: Tensor) -> Tensor:
        """[N, in_chans, H, W] to [N, 4 width, H / 4, W / 4]."""
        return self.blocks(functional.relu(self.bn1(self.conv1(x))))


_CFG = {
    "url": "",
    "input_size": (3, 32, 32),
    "pool_size": (8, 8),
    "num_classes": 10,
    "first_conv": "conv1",
    "classifier": "fc",
}
_NAMES = ("resnet8", "resnet20", "resnet32", "resnet56")
default_cfgs = generate_default_cfgs({f"{name}.untrained": _CFG for name in _NAMES})


def _build(variant: str, pretrained: bool, depth: int, **kwargs: Any) -> ResNetCifar:
    return build_model_with_cfg(ResNetCifar, variant, pretrained, depth=depth, **kwargs)


@register_model
def resnet8(pretrained: bool = False, **kwargs: Any) -> ResNetCifar:
    """One block a stage, 16 channels wide: 75,290 parameters."""
    return _build("resnet8", pretrained, depth=1, **kwargs)


@register_model
def resnet20(pretrained: bool = False, **kwargs: Any) -> ResNetCifar:
    """Three blocks a stage, 16 channels wide: 269,722 parameters."""
    return _build("resnet20", pretrained, depth=3, **kwargs)


@register_model
def resnet32(pretrained: bool = False, **kwargs: Any) -> ResNetCifar:
    """Five blocks a stage, 16 channels wide: 464,154 parameters."""
    return _build("resnet32", pretrained, depth=5, **kwargs)


@register_model
def resnet56(pretrained: bool = False, **kwargs: Any) -> ResNetCifar:
    """Nine blocks a stage, 16 channels wide: 853,018 parameters."""
    return _build("resnet56", pretrained, depth=9, **kwargs)
