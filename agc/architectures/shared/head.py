"""What timm asks of a network about its end, for networks that end with one linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LinearHead(nn.Module):
    """A network whose classifier is ``fc``, a linear layer; by default it averages the image.

    A subclass gives ``forward_features``, and sets ``num_classes`` and ``fc``.
    """

    num_classes: int
    fc: nn.Linear

    def get_classifier(self) -> nn.Module:
        """The last linear layer."""
        return self.fc

    def reset_classifier(self, num_classes: int) -> None:
        """A new last layer for another number of classes."""
        self.num_classes = num_classes
        self.fc = nn.Linear(self.fc.in_features, num_classes)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Global average pooling and the classifier; [N, num_classes]."""
        x = torch.mean(x, dim=(2, 3))
        return x if pre_logits else self.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_chans, H, W] to logits [N, num_classes]."""
        return self.forward_head(self.forward_features(x))
