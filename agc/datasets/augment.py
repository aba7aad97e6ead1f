"""Batched augmentation, on whatever device the images are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor


def random_crop(images: Tensor, padding: int, generator: Generator) -> Tensor:
    """Pad by ``padding`` zeros on each side and cut a window of the old size out of each image.

    Args:
        images: [N, C, H, W], any type.
        padding: pixels on each side; 0 returns the images as they are.
        generator: on the images' device.
    """
    if padding == 0:
        return images
    count, channels, height, width = images.shape
    device = images.device
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    offset = torch.randint(2 * padding + 1, (2, count, 1), generator=generator, device=device)
    rows = (offset[0] + torch.arange(height, device=device))[:, None, :, None]
    columns = (offset[1] + torch.arange(width, device=device))[:, None, None, :]
    image = torch.arange(count, device=device)[:, None, None, None]
    channel = torch.arange(channels, device=device)[None, :, None, None]
    return padded[image, channel, rows, columns]


def random_flip(images: Tensor, generator: Generator) -> Tensor:
    """Mirror each image left to right with probability one half; [N, C, H, W]."""
    coin = torch.rand(len(images), generator=generator, device=images.device) < 0.5
    return torch.where(coin[:, None, None, None], images.flip(-1), images)
