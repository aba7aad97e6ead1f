"""The first networks of the pruning literature, as SNIP's and ITOP's codes have them.

LeNet-300-100 and LeNet-5 (LeCun et al., 1998, in Caffe's widths without padding) for MNIST, and
ITOP's two-layer perceptron for CIFAR-10. They have neither batch norm nor a stem; their first
linear layer fits one image size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from agc.architectures.shared.head import LinearHead

SMALLEST = {"lenet5": 16}
"""Height and width of images below which the convolutions leave nothing, by name. It is read from
the source, before anything is built."""


class SmallNet(LinearHead):
    """Convolutions of 5×5 without padding, each with ReLU and a 2×2 pool; then linear layers.

    Args:
        channels: of each convolution; none makes a perceptron.
        hidden: units of the linear layers before the classifier.
        img_size: height and width of the images.
        num_classes: number of classes.
        in_chans: channels of the images.

    Raises:
        ValueError: the images are too small for the convolutions.
    """

    def __init__(
        self,
        channels: Sequence[int],
        hidden: Sequence[int],
        img_size: int | tuple[int, int],
        num_classes: int = 10,
        in_chans: int = 1,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        size = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        features: list[nn.Module] = []
        before = in_chans
        for width in channels:
            features += [nn.Conv2d(before, width, 5), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            size = tuple((side - 4) // 2 for side in size)
            before = width
        if min(size) < 1:
            raise ValueError(f"images of {img_size} are too small for {len(channels)} convolutions")
        self.features = nn.Sequential(*features)
        units = before * size[0] * size[1]
        self.num_features = units
        head: list[nn.Module] = []
        for width in hidden:
            head += [nn.Linear(units, width), nn.ReLU(inplace=True)]
            units = width
        self.hidden = nn.Sequential(*head)
        self.head_hidden_size = units
        self.fc = nn.Linear(units, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """[N, in_chans, H, W] to flat features [N, num_features]."""
        return torch.flatten(self.features(x), 1)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The hidden layers and the classifier; [N, num_classes]."""
        x = self.hidden(x)
        return x if pre_logits else self.fc(x)


def _cfg(channels: int, size: int, first: str) -> dict[str, Any]:
    return {
        "url": "",
        "input_size": (channels, size, size),
        "fixed_input_size": True,
        "pool_size": None,
        "num_classes": 10,
        "first_conv": first,
        "classifier": "fc",
    }


default_cfgs = generate_default_cfgs(
    {
        "lenet5.untrained": _cfg(1, 28, "features.0"),
        "lenet300_100.untrained": _cfg(1, 28, "hidden.0"),
        "mlp_cifar10.untrained": _cfg(3, 32, "hidden.0"),
    }
)


def _build(variant: str, pretrained: bool, settings: dict[str, Any], **kwargs: Any) -> SmallNet:
    return build_model_with_cfg(SmallNet, variant, pretrained, **{**settings, **kwargs})


@register_model
def lenet5(pretrained: bool = False, **kwargs: Any) -> SmallNet:
    """LeNet-5 in Caffe's widths, for one 28×28 channel: 431,080 parameters."""
    settings = {"channels": (20, 50), "hidden": (500,), "img_size": 28, "in_chans": 1}
    return _build("lenet5", pretrained, settings, **kwargs)


@register_model
def lenet300_100(pretrained: bool = False, **kwargs: Any) -> SmallNet:
    """Perceptron of 300 and 100 units, for one 28×28 channel: 266,610 parameters."""
    settings = {"channels": (), "hidden": (300, 100), "img_size": 28, "in_chans": 1}
    return _build("lenet300_100", pretrained, settings, **kwargs)


@register_model
def mlp_cifar10(pretrained: bool = False, **kwargs: Any) -> SmallNet:
    """Perceptron of 1,024 and 512 units (ITOP, arXiv 2102.02887): 3,676,682 parameters."""
    settings = {"channels": (), "hidden": (1024, 512), "img_size": 32, "in_chans": 3}
    return _build("mlp_cifar10", pretrained, settings, **kwargs)
