"""A small multiscale equilibrium network: convolutions at two resolutions, solved together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from agc.architectures.shared.contraction import convolution_norm, matrix_norm
from agc.architectures.shared.equilibrium import LIMIT, Cell, Equilibrium

CELL_CALLS = {"mdeq_small": 24}
"""Calls of the cell in a forward pass, by name; it is read from the source, for planning."""

SMALLEST = {"mdeq_small": 2}
"""Height and width of images that have a second resolution, by name; read from the source, too."""


class MultiscaleCell(Cell):
    """tanh of convolutions within two resolutions and 1×1 ones between them.

    Means of 2×2 places, doubled, lead down, and their transpose leads up: both have the norm 1.

    Args:
        fine: channels at the full resolution.
        coarse: channels at half of it.
    """

    def __init__(self, fine: int, coarse: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(fine, fine, 3, padding=1, bias=False)
        self.coarse = nn.Conv2d(coarse, coarse, 3, padding=1, bias=False)
        self.down = nn.Conv2d(fine, coarse, 1, bias=False)
        self.up = nn.Conv2d(coarse, fine, 1, bias=False)

    def forward(self, state: Tensor, injected: tuple[Tensor, Tensor]) -> Tensor:
        """The next state: both maps, flat, one after the other, [N, D]."""
        fine, coarse = maps(state, *injected)
        lower = 2 * nn.functional.avg_pool2d(fine, 2)
        upper = nn.functional.interpolate(self.up(coarse), scale_factor=2) / 2
        return flat(
            torch.tanh(self.fine(fine) + upper + injected[0]),
            torch.tanh(self.coarse(coarse) + self.down(lower) + injected[1]),
        )

    def norm(self) -> Tensor:
        """A bound: the norm of the 2×2 matrix of the norms of the four maps, or bounds of them."""
        blocks = [
            convolution_norm(self.fine.weight),
            matrix_norm(self.up.weight.flatten(1)),
            matrix_norm(self.down.weight.flatten(1)),
            convolution_norm(self.coarse.weight),
        ]
        return matrix_norm(torch.stack(blocks).reshape(2, 2))


class MDEQSmall(Equilibrium):
    """Two branches, after multiscale equilibrium networks (Bai et al., arXiv 2006.08656).

    The classifier sees the mean of each channel of both. The published cells are residual blocks
    with group normalisation, whose norm nobody bounds; this one is linear before its tanh.

    Args:
        widths: channels at the full resolution, and at half of it.
        num_classes: number of classes.
        in_chans: channels of the images.
        calls: of the cell in a forward pass.
        limit: largest norm of the cell's linear map.
    """

    def __init__(
        self,
        widths: Sequence[int] = (12, 24),
        num_classes: int = 10,
        in_chans: int = 1,
        calls: int = CELL_CALLS["mdeq_small"],
        limit: float = LIMIT,
    ) -> None:
        super().__init__(num_classes, calls, limit)
        self.widths = fine, coarse = tuple(widths)
        self.num_features = self.head_hidden_size = fine + coarse
        self.fine = nn.Conv2d(in_chans, fine, 3, padding=1)
        self.coarse = nn.Conv2d(in_chans, coarse, 3, padding=1)
        self.cell = MultiscaleCell(fine, coarse)
        self.fc = nn.Linear(fine + coarse, num_classes)
        self.keep_contraction()

    def inject(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """A convolution of the images, and one of their means of 2×2 pixels.

        Raises:
            ValueError: an odd height or width, which cannot be halved.
        """
        height, width = x.shape[2:]
        if height % 2 or width % 2:
            raise ValueError(f"images of {height}×{width}: both must be even")
        return self.fine(x), self.coarse(nn.functional.avg_pool2d(x, 2))

    def units(self, x: Tensor) -> int:
        """Those of both maps."""
        return sum(self.sizes(x))

    def sizes(self, x: Tensor) -> list[int]:
        """Units of each map."""
        places = x.shape[2] * x.shape[3]
        return [self.widths[0] * places, self.widths[1] * (places // 4)]

    def features(self, state: Tensor, x: Tensor) -> Tensor:
        """Mean of each channel."""
        parts = zip(state.split(self.sizes(x), dim=1), self.widths, strict=True)
        return torch.cat([part.unflatten(1, (n, -1)).mean(dim=2) for part, n in parts], dim=1)


def flat(fine: Tensor, coarse: Tensor) -> Tensor:
    """Both maps as one state, [N, D]."""
    return torch.cat([fine.flatten(1), coarse.flatten(1)], dim=1)


def maps(state: Tensor, fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
    """A state as maps of the shapes of ``fine`` and ``coarse``."""
    first, last = state.split([fine[0].numel(), coarse[0].numel()], dim=1)
    return first.reshape(fine.shape), last.reshape(coarse.shape)


default_cfgs = generate_default_cfgs(
    {
        "mdeq_small.untrained": {
            "url": "",
            "input_size": (1, 8, 8),
            "pool_size": None,
            "num_classes": 10,
            "first_conv": "fine",
            "classifier": "fc",
        }
    }
)


@register_model
def mdeq_small(pretrained: bool = False, **kwargs: Any) -> MDEQSmall:
    """Equilibrium of 12 channels, and 24 at half the resolution, for digits: 7,786 parameters."""
    return build_model_with_cfg(MDEQSmall, "mdeq_small", pretrained, **kwargs)
