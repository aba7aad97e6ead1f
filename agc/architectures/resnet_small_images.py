"""The residual networks of four stages, with the stem that papers on CIFAR give them.

ImageNet's ResNet (He et al., arXiv 1512.03385, table 1) with a 3×3 stem of stride 1 and without
max-pooling, whatever the image size. At 32×32 timm's own ``resnet18`` gets the same stem; these
names keep it for larger images too, and start like the published codes of sparse training, where
no batch norm begins at zero.
"""

from __future__ import annotations

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, Bottleneck, ResNet

from agc.architectures.shared.stem import adapt_stem

_CFG = {
    "url": "",
    "input_size": (3, 32, 32),
    "pool_size": (4, 4),
    "num_classes": 10,
    "first_conv": "conv1",
    "classifier": "fc",
}
_NAMES = ("resnet18_cifar", "resnet34_cifar", "resnet50_cifar")
default_cfgs = generate_default_cfgs({f"{name}.untrained": _CFG for name in _NAMES})


def _build(variant: str, pretrained: bool, **kwargs: Any) -> ResNet:
    settings = {"num_classes": 10, "zero_init_last": False, **kwargs}
    model = build_model_with_cfg(ResNet, variant, pretrained, **settings)
    return adapt_stem(model)


@register_model
def resnet18_cifar(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-18 with a 3×3 stem: 11,173,962 parameters."""
    return _build("resnet18_cifar", pretrained, block=BasicBlock, layers=(2, 2, 2, 2), **kwargs)


@register_model
def resnet34_cifar(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-34 with a 3×3 stem: 21,282,122 parameters."""
    return _build("resnet34_cifar", pretrained, block=BasicBlock, layers=(3, 4, 6, 3), **kwargs)


@register_model
def resnet50_cifar(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-50 with a 3×3 stem: 23,520,842 parameters."""
    return _build("resnet50_cifar", pretrained, block=Bottleneck, layers=(3, 4, 6, 3), **kwargs)
