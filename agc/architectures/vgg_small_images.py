"""VGG networks for small images (Simonyan and Zisserman, arXiv 1409.1556, table 1).

Batch norm after each convolution. ImageNet's three layers of 4,096 units, most of its weights,
give way to small heads; which one differs by paper. Pooling rounds up where the paper's images
do not care, so that five pools leave something of a 28×28 image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from agc.architectures.shared.head import LinearHead

POOL = "pool"
Layer = int | tuple[int, int] | str
"""Output channels of a 3×3 convolution, (channels, kernel size), or ``POOL``."""


def _stages(convolutions: int, last_kernel: int = 3) -> tuple[Layer, ...]:
    """Two stages of two convolutions and three of ``convolutions``, each followed by a pool."""
    layers: list[Layer] = []
    for channels, count in ((64, 2), (128, 2), *((c, convolutions) for c in (256, 512, 512))):
        layers += [channels] * count
        if count > 2:
            layers[-1] = (channels, last_kernel)
        layers.append(POOL)
    return tuple(layers)


class VGGSmall(LinearHead):
    """Convolutions with batch norm and ReLU, pools, then linear layers.

    Args:
        layers: what is in the convolutional part.
        hidden: units of the linear layers before the classifier.
        norm_hidden: batch norm after each of them, where VGG has dropout.
        average: global average pooling before the linear layers; else all positions are used.
        bias: whether convolutions have one.
        round_up: pooling of an odd size keeps the last row and column.
        img_size: height and width of the images; of use only without ``average``.
        num_classes: number of classes.
        in_chans: channels of the images.

    Raises:
        ValueError: nothing is left of an image of this size after the pools.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        hidden: Sequence[int] = (),
        norm_hidden: bool = False,
        average: bool = True,
        bias: bool = True,
        round_up: bool = True,
        img_size: int | tuple[int, int] = 32,
        num_classes: int = 10,
        in_chans: int = 3,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.average = average
        features: list[nn.Module] = []
        size = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        channels = in_chans
        for layer in layers:
            if isinstance(layer, str):
                features.append(nn.MaxPool2d(2, ceil_mode=round_up))
                size = tuple((side + round_up) // 2 for side in size)
                continue
            width, kernel = (layer, 3) if isinstance(layer, int) else layer
            # A border of one pixel also where the kernel is 1×1: SNIP and ITOP grow the map there.
            features.append(nn.Conv2d(channels, width, kernel, padding=1, bias=bias))
            features += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            size = tuple(side + 3 - kernel for side in size)
            channels = width
        if min(size) < 1:
            raise ValueError(f"images of {img_size} are pooled to nothing by this VGG")
        self.features = nn.Sequential(*features)
        units = channels if average else channels * size[0] * size[1]
        head: list[nn.Module] = []
        for width in hidden:
            head += [nn.Linear(units, width), nn.ReLU(inplace=True)]
            head += [nn.BatchNorm1d(width)] if norm_hidden else []
            units = width
        self.hidden = nn.Sequential(*head)
        self.num_features = channels
        self.head_hidden_size = units
        self.fc = nn.Linear(units, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """[N, in_chans, H, W] to [N, 512, h, w], with H = 32 h where pooling rounds nothing."""
        return self.features(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pooling or flattening, the hidden layers and the classifier; [N, num_classes]."""
        x = torch.mean(x, dim=(2, 3)) if self.average else torch.flatten(x, 1)
        x = self.hidden(x)
        return x if pre_logits else self.fc(x)


_CFG = {
    "url": "",
    "input_size": (3, 32, 32),
    "pool_size": (1, 1),
    "num_classes": 10,
    "first_conv": "features.0",
    "classifier": "fc",
}
_FIXED = {**_CFG, "pool_size": (2, 2), "fixed_input_size": True}
default_cfgs = generate_default_cfgs(
    {
        "vgg16_cifar.untrained": _CFG,
        "vgg19_cifar.untrained": _CFG,
        "vgg16_c.untrained": _FIXED,
        "vgg16_bsr.untrained": _FIXED,
    }
)


def _build(variant: str, pretrained: bool, settings: dict[str, Any], **kwargs: Any) -> VGGSmall:
    return build_model_with_cfg(VGGSmall, variant, pretrained, **{**settings, **kwargs})


@register_model
def vgg16_cifar(pretrained: bool = False, **kwargs: Any) -> VGGSmall:
    """VGG-16 with average pooling and one linear layer: 14,728,266 parameters."""
    return _build("vgg16_cifar", pretrained, {"layers": _stages(3)}, **kwargs)


@register_model
def vgg19_cifar(pretrained: bool = False, **kwargs: Any) -> VGGSmall:
    """VGG-19 with average pooling and one linear layer: 20,040,522 parameters."""
    return _build("vgg19_cifar", pretrained, {"layers": _stages(4)}, **kwargs)


@register_model
def vgg16_c(pretrained: bool = False, **kwargs: Any) -> VGGSmall:
    """VGG-C of ITOP (arXiv 2102.02887), two hidden layers of 512: 11,323,466 parameters."""
    settings: dict[str, Any] = {"layers": _stages(3, last_kernel=1), "hidden": (512, 512)}
    settings |= {"norm_hidden": True, "average": False, "round_up": False}
    return _build("vgg16_c", pretrained, settings, **kwargs)


@register_model
def vgg16_bsr(pretrained: bool = False, **kwargs: Any) -> VGGSmall:
    """VGG-16 of BSR-Net, without a last pool, two hidden layers of 256: 15,311,818 parameters."""
    settings: dict[str, Any] = {"layers": _stages(3)[:-1], "hidden": (256, 256)}
    settings |= {"average": False, "bias": False}
    return _build("vgg16_bsr", pretrained, settings, **kwargs)
