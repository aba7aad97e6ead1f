"""The smallest equilibrium network: one tanh layer whose output is its own input."""

from __future__ import annotations

from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from agc.architectures.shared.contraction import matrix_norm
from agc.architectures.shared.equilibrium import LIMIT, Cell, Equilibrium

CELL_CALLS = {"deq_tiny": 24}
"""Calls of the cell in a forward pass, by name; it is read from the source, for planning."""


class LinearCell(Cell):
    """tanh(W z + i)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.state = nn.Linear(width, width, bias=False)

    def forward(self, state: Tensor, injected: Tensor) -> Tensor:
        """The next state, [N, width]."""
        return torch.tanh(self.state(state) + injected)

    def norm(self) -> Tensor:
        """Largest singular value of W."""
        return matrix_norm(self.state.weight)


class DEQTiny(Equilibrium):
    """z = tanh(W z + U x + b), then a linear layer.

    Args:
        width: units of the state.
        img_size: height and width of the images.
        num_classes: number of classes.
        in_chans: channels of the images.
        calls: of the cell in a forward pass.
        limit: largest norm of W.
    """

    def __init__(
        self,
        width: int = 96,
        img_size: int | tuple[int, int] = 8,
        num_classes: int = 10,
        in_chans: int = 1,
        calls: int = CELL_CALLS["deq_tiny"],
        limit: float = LIMIT,
    ) -> None:
        super().__init__(num_classes, calls, limit)
        height, side = (img_size, img_size) if isinstance(img_size, int) else img_size
        self.num_features = self.head_hidden_size = width
        self.injection = nn.Linear(in_chans * height * side, width)
        self.cell = LinearCell(width)
        self.fc = nn.Linear(width, num_classes)
        self.keep_contraction()

    def inject(self, x: Tensor) -> Tensor:
        """U x + b, [N, width]."""
        return self.injection(torch.flatten(x, 1))

    def units(self, x: Tensor) -> int:
        """The width."""
        return self.num_features

    def features(self, state: Tensor, x: Tensor) -> Tensor:
        """The state itself."""
        return state


default_cfgs = generate_default_cfgs(
    {
        "deq_tiny.untrained": {
            "url": "",
            "input_size": (1, 8, 8),
            "fixed_input_size": True,
            "pool_size": None,
            "num_classes": 10,
            "first_conv": "injection",
            "classifier": "fc",
        }
    }
)


@register_model
def deq_tiny(pretrained: bool = False, **kwargs: Any) -> DEQTiny:
    """Equilibrium of 96 tanh units, for one 8×8 channel: 16,426 parameters."""
    return build_model_with_cfg(DEQTiny, "deq_tiny", pretrained, **kwargs)
