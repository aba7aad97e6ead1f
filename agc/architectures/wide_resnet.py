"""Wide residual networks (Zagoruyko and Komodakis, arXiv 1605.07146).

Three stages of pre-activation blocks, a 3×3 stem of 16 channels without pooling; they take any
image size from 4×4 on. ``wrn_28_4`` has 28 layers and four times the channels of a ResNet.
"""

from __future__ import annotations

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn
from torch.nn import functional

from agc.architectures.shared.head import LinearHead


class WideBlock(nn.Module):
    """Batch norm and ReLU before each of two 3×3 convolutions, with dropout between them.

    A shortcut that changes the shape is a 1×1 convolution of the normalised input.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, drop_rate: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(drop_rate)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.shortcut: nn.Conv2d | None = None
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to [N, channels, H / stride, W / stride]."""
        normalised = functional.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(normalised)
        x = self.dropout(functional.relu(self.bn2(self.conv1(normalised))))
        return shortcut + self.conv2(x)


class WideResNet(LinearHead):
    """Stem, three stages of 16, 32 and 64 times ``widen`` channels, batch norm, head.

    Args:
        depth: number of layers, 6 n + 4.
        widen: factor on the channels of every stage.
        drop_rate: of the dropout within blocks; 0.3 in the code of ITOP and of RigL's reproduction.
        num_classes: number of classes.
        in_chans: channels of the images.

    Raises:
        ValueError: there are no stages of equal size with this depth.
    """

    def __init__(
        self,
        depth: int,
        widen: int,
        drop_rate: float = 0.0,
        num_classes: int = 10,
        in_chans: int = 3,
    ) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise ValueError(f"depth {depth} of a wide residual network is not 6 n + 4")
        self.num_classes = num_classes
        self.num_features = 64 * widen
        self.conv1 = nn.Conv2d(in_chans, 16, 3, padding=1, bias=False)
        blocks, before = [], 16
        for stage in range(3):
            channels = (16 << stage) * widen
            for index in range((depth - 4) // 6):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(WideBlock(before, channels, stride, drop_rate))
                before = channels
        self.blocks = nn.Sequential(*blocks)
        self.bn1 = nn.BatchNorm2d(self.num_features)
        self.fc = nn.Linear(self.num_features, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    def forward_features(self, x: Tensor) -> Tensor:
        """[N, in_chans, H, W] to [N, 64 widen, H / 4, W / 4]."""
        return functional.relu(self.bn1(self.blocks(self.conv1(x))))


_CFG = {
    "url": "",
    "input_size": (3, 32, 32),
    "pool_size": (8, 8),
    "num_classes": 10,
    "first_conv": "conv1",
    "classifier": "fc",
}
_NAMES = (
    *("wrn_16_1", "wrn_16_2", "wrn_16_4", "wrn_16_8", "wrn_16_10", "wrn_22_2", "wrn_22_8"),
    *("wrn_28_2", "wrn_28_4", "wrn_28_10", "wrn_34_10"),
)
default_cfgs = generate_default_cfgs({f"{name}.untrained": _CFG for name in _NAMES})


def _build(variant: str, pretrained: bool, **kwargs: Any) -> WideResNet:
    _, depth, widen = variant.split("_")
    settings = {"depth": int(depth), "widen": int(widen), **kwargs}
    return build_model_with_cfg(WideResNet, variant, pretrained, **settings)


@register_model
def wrn_16_1(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    """16 layers, as wide as a ResNet: 175,066 parameters."""
    return _build("wrn_16_1", pretrained, **kwargs)


@register_model
def wrn_16_2(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    """16 layers, 2 times as wide as a ResNet: 691,674 parameters."""
    return _build("wrn_16_2", pretrained, **kwargs)


@register_model
def wrn_16_4(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    """16 layers, 4 times as wide as a ResNet: 2,748,890 parameters."""
    return _build("wrn_16_4", pretrained, **kwargs)


@register_model
def wrn_16_8(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    """16 layers, 8 times as wide as a ResNet: 10,961,370 parameters."""
    return _build("wrn_16_8", pretrained, **kwargs)


@register_model
def wrn_16_10(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    """16 layers, 10 times as wide as a ResNet: 17,116,634 parameters."""
    return _build("wrn_16_10", pretrained, **kwargs)


@register_model
def wrn_22_2(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    """22 layers, 2 times as wide as a ResNet: 1,079,642 parameters."""
    return _build("wrn_22_2", pretrained, **kwargs)


@register_model
def wrn_22_8(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    """22 layers, 8 times as wide as a ResNet: 17,158,106 parameters."""
    return _build("wrn_22_8", pretrained, **kwargs)


@register_model
def wrn_28_2(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    """28 layers, 2 times as wide as a ResNet: 1,467,610 parameters."""
    return _build("wrn_28_2", pretrained, **kwargs)


@register_model
def wrn_28_4(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    """28 layers, 4 times as wide as a ResNet: 5,849,050 parameters."""
    return _build("wrn_28_4", pretrained, **kwargs)


@register_model
def wrn_28_10(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    """28 layers, 10 times as wide as a ResNet: 36,479,194 parameters."""
    return _build("wrn_28_10", pretrained, **kwargs)


@register_model
def wrn_34_10(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    """34 layers, 10 times as wide as a ResNet: 46,160,474 parameters."""
    return _build("wrn_34_10", pretrained, **kwargs)
