"""Batched augmentation of uint8 images, on whatever device they are; it never waits for it."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from agc.datasets.shared.settings import Augmentation

ASPECT = (3 / 4, 4 / 3)
"""Smallest and largest aspect ratio of a crop by area, as torchvision's default."""

TRIES = 10
"""Boxes that are drawn until one fits into the image, as torchvision does."""


def augment(images: Tensor, settings: Augmentation, generator: Generator) -> Tensor:
    """All of ``settings`` on uint8 [N, C, H, W], with draws of its own for each image."""
    if settings.area is not None:
        images = resize_boxes(images, *random_boxes(images, settings.area, generator))
    images = random_crop(images, settings.crop, generator, settings.padding)
    if settings.flip:
        images = random_flip(images, generator)
    return cutout(images, settings.cutout, generator)


def random_crop(images: Tensor, padding: int, generator: Generator, mode: str = "zero") -> Tensor:
    """Pad by ``padding`` pixels on each side and cut a window of the old size out of each image.

    Args:
        images: [N, C, H, W], any type.
        padding: pixels on each side; 0 returns the images as they are.
        generator: on the images' device.
        mode: ``zero``, or ``reflect``, which mirrors at the outermost pixels without doubling them
            and needs ``padding`` below height and width.
    """
    if padding == 0:
        return images
    count, channels, height, width = images.shape
    device = images.device
    offset = torch.randint(2 * padding + 1, (2, count, 1), generator=generator, device=device)
    rows = offset[0] + torch.arange(height, device=device)
    columns = offset[1] + torch.arange(width, device=device)
    if mode == "reflect":
        rows, columns = _reflected(rows - padding, height), _reflected(columns - padding, width)
    else:
        images = torch.nn.functional.pad(images, (padding,) * 4)
    # One gather over flat images: seven times as fast on a CPU as indexing all four dimensions.
    place = (rows[:, :, None] * images.shape[3] + columns[:, None, :]).reshape(count, 1, -1)
    windows = images.flatten(2).gather(2, place.expand(-1, channels, -1))
    return windows.reshape(count, channels, height, width)


def _reflected(index: Tensor, size: int) -> Tensor:
    """Places from ``1 - size`` to ``2 size - 2`` mirrored into 0 to ``size - 1``."""
    return size - 1 - (size - 1 - index.abs()).abs()


def random_flip(images: Tensor, generator: Generator) -> Tensor:
    """Mirror each image left to right with probability one half; [N, C, H, W]."""
    coin = torch.rand(len(images), generator=generator, device=images.device) < 0.5
    return torch.where(coin[:, None, None, None], images.flip(-1), images)


def cutout(images: Tensor, side: int, generator: Generator) -> Tensor:
    """Blacken a square of ``side`` pixels around a random pixel of each image [N, C, H, W].

    Near the border a part of it is outside (DeVries and Taylor 2017, arXiv 1708.04552, who fill
    with the mean of the data).
    """
    if side == 0:
        return images
    count, _, height, width = images.shape
    device = images.device
    inside = []
    for size in (height, width):
        start = torch.randint(size, (count, 1), generator=generator, device=device) - side // 2
        place = torch.arange(size, device=device)
        inside.append((place >= start) & (place < start + side))
    square = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return images.masked_fill(square, 0)


def random_boxes(
    images: Tensor, area: tuple[float, float], generator: Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, height and width, int64 [N], of a random box in each square image.

    The first of some boxes of uniform area and log-uniform aspect ratio that fits into the image,
    else the whole image: torchvision's RandomResizedCrop (Szegedy et al. 2015, arXiv 1409.4842).

    Args:
        images: [N, C, H, W].
        area: smallest and largest share of the image.
        generator: on the images' device.
    """
    count, _, height, width = images.shape
    device = images.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator, device=device)

    areas = height * width * uniform(*area, TRIES, count)
    ratios = uniform(log(ASPECT[0]), log(ASPECT[1]), TRIES, count).exp()
    heights, widths = (areas / ratios).sqrt().round(), (areas * ratios).sqrt().round()
    fits = (heights >= 1) & (heights <= height) & (widths >= 1) & (widths <= width)
    first = fits.int().argmax(dim=0, keepdim=True)
    none = ~fits.any(dim=0)
    tall = heights.gather(0, first)[0].masked_fill(none, height)
    wide = widths.gather(0, first)[0].masked_fill(none, width)
    top = (uniform(0, 1, count) * (height - tall + 1)).floor()
    left = (uniform(0, 1, count) * (width - wide + 1)).floor()
    return top.long(), left.long(), tall.long(), wide.long()


def resize_boxes(images: Tensor, top: Tensor, left: Tensor, tall: Tensor, wide: Tensor) -> Tensor:
    """A box of each uint8 image [N, C, H, W], bilinearly enlarged to [H, W]."""
    height, width = images.shape[2:]

    def places(start: Tensor, extent: Tensor, size: int) -> Tensor:
        """Where the pixels of the result lie in the image, from -1 to 1 over its extent."""
        step = torch.arange(size, device=images.device) + 0.5
        inside = step * (extent / size)[:, None] - 0.5
        inside = torch.minimum(inside.clamp(min=0), extent[:, None] - 1)
        return (2 * (start[:, None] + inside) + 1) / size - 1

    rows, columns = places(top, tall, height), places(left, wide, width)
    shape = (len(images), height, width)
    grid = torch.stack((columns[:, None, :].expand(shape), rows[:, :, None].expand(shape)), dim=-1)
    resized = torch.nn.functional.grid_sample(
        images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return resized.round().to(torch.uint8)
