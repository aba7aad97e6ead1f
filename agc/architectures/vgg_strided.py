"""A VGG for studies on two CPU cores: strides where VGG pools, and a quarter of its first width.

Convolutions of 3×3 with batch norm and ReLU as in :mod:`agc.architectures.vgg_small_images`. A
stride in place of a pool (Springenberg et al., arXiv 1412.6806) computes only what is kept, so that
a forward pass takes a quarter of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from agc.architectures.shared.head import LinearHead


class StridedVGG(LinearHead):
    """Convolutions without bias, each with batch norm and ReLU, then average pooling and ``fc``.

    Args:
        widths: output channels of each convolution.
        strides: of each convolution, as many.
        num_classes: number of classes.
        in_chans: channels of the images.

    Raises:
        ValueError: there are not as many strides as widths.
    """

    def __init__(
        self,
        widths: Sequence[int] = (16, 32, 64, 128),
        strides: Sequence[int] = (2, 2, 2, 1),
        num_classes: int = 10,
        in_chans: int = 1,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_chans
        for width, stride in zip(widths, strides, strict=True):
            layers.append(nn.Conv2d(channels, width, 3, stride, padding=1, bias=False))
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
        self.features = nn.Sequential(*layers)
        self.num_classes = num_classes
        self.num_features = channels
        self.fc = nn.Linear(channels, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """[N, in_chans, H, W] to [N, 128, H / 8, W / 8], rounded up."""
        return self.features(x)


default_cfgs = generate_default_cfgs(
    {
        "vgg_small.untrained": {
            "url": "",
            "input_size": (1, 28, 28),
            "pool_size": (4, 4),
            "num_classes": 10,
            "first_conv": "features.0",
            "classifier": "fc",
        }
    }
)


@register_model
def vgg_small(pretrained: bool = False, **kwargs: Any) -> StridedVGG:
    """Four convolutions of 16 to 128 channels with strides 2, 2, 2, 1: 98,682 parameters."""
    return build_model_with_cfg(StridedVGG, "vgg_small", pretrained, **kwargs)
