from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from agc import Static
from agc.cost.flops import LayerFlops, layer_flops


class ThreeLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6 * 4 * 4, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.norm(self.second(self.first(images).relu())).flatten(1))


@pytest.fixture
def three_layers() -> nn.Module:
    """Two convolutions and a classifier for images of 8 by 8."""
    return ThreeLayers()


@pytest.fixture
def counted(three_layers: nn.Module) -> tuple[LayerFlops, dict[str, int]]:
    """FLOPs of the three layers, and their active weights at 90 % sparsity."""
    method = Static(three_layers, sparsity=0.9, distribution="uniform")
    return layer_flops(three_layers, torch.zeros(1, 3, 8, 8), method.parameters), method.active()
