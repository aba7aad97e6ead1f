"""How fast batches come: our loader, torch's DataLoader, and what a training step needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from agc import rng
from agc.datasets.base import Split
from agc.datasets.shared.settings import Augmentation
from agc.errors import UserError
from agc.grids.cell import Cell
from agc.training.build import build
from agc.training.run import Run

WARM_UP = 2
"""Batches or steps before the clock starts."""


@dataclass(frozen=True)
class Speed:
    """Seconds a batch of one source."""

    name: str
    seconds: float


def measure(cell: Cell, device: str, workers: int, seconds: float) -> list[Speed]:
    """Time the cell's loader alone, torch's with the same augmentation, and the training step.

    Args:
        cell: gives data, augmentation, batch size and network.
        device: where batches are wanted.
        workers: processes of torch's loader, which is measured without any as well.
        seconds: how long to measure each of them, about.

    Raises:
        UserError: the data set is streamed: it uses torch's loader itself.
    """
    run = build(cell, device)
    split, size = run.loader.split, cell.training.batch_size
    if not isinstance(split, Split):
        raise UserError(
            f"dataset {cell.dataset.name!r} is read by torch's DataLoader itself, which leaves "
            "nothing to compare: take one that is held in memory"
        )
    found = [Speed("agc loader", _rate(_own(run), device, seconds))]
    for number in sorted({0, workers}):
        with rng.isolated(0):
            batches = usual_batches(split, cell.training.augmentation, size, number, device)
            name = f"torchvision and DataLoader, {number} workers"
            found.append(Speed(name, _rate(batches, device, seconds)))
    step = f"training step of {cell.architecture.name}"
    return [*found, Speed(step, _rate(_steps(run), device, seconds))]


def usual_batches(
    split: Split, settings: Augmentation, size: int, workers: int, device: str
) -> Iterator[Any]:
    """Batches without end, as scripts with torchvision's data sets and transforms make them."""
    data = _Pictures(split, usual_transform(settings, split.images.shape[-2:]))
    pinned = torch.device(device).type == "cuda"
    loader = DataLoader(
        data,
        size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        pin_memory=pinned,
        persistent_workers=workers > 0,
    )
    while True:
        for images, labels in loader:
            yield images.to(device, non_blocking=pinned), labels.to(device, non_blocking=pinned)


def usual_transform(settings: Augmentation, size: tuple[int, int]) -> Callable[[Any], Tensor]:
    """torchvision's transforms that do to one picture what ``settings`` say.

    Raises:
        UserError: they ask for a cutout, which torchvision has in another form only.
    """
    from torchvision.transforms import v2

    if settings.cutout:
        raise UserError("augmentation.cutout: torchvision has no such transform to compare with")
    steps: list[Any] = []
    if settings.area is not None:
        steps.append(v2.RandomResizedCrop(size, scale=settings.area))
    if settings.crop:
        mode = {"zero": "constant"}.get(settings.padding, settings.padding)
        steps.append(v2.RandomCrop(size, padding=settings.crop, padding_mode=mode))
    if settings.flip:
        steps.append(v2.RandomHorizontalFlip())
    return v2.Compose([*steps, v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])


class _Pictures(Dataset):
    """A split as torchvision's data sets give it: one PIL image after another, transformed."""

    def __init__(self, split: Split, transform: Callable[[Any], Tensor]) -> None:
        images = split.images.permute(0, 2, 3, 1).cpu().numpy()
        self.images = images[..., 0] if images.shape[-1] == 1 else images
        self.labels = split.labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[number])), self.labels[number]


def _own(run: Run) -> Iterator[Any]:
    for epoch in count(1):
        yield from run.loader.epoch(epoch)


def _steps(run: Run) -> Iterator[None]:
    """Plain training steps on one batch, which is there already."""
    batch = next(run.loader.epoch(1))
    while True:
        run.optimizer.zero_grad()
        run.loss_fn(run.model, batch).backward()
        run.optimizer.step()
        yield


def _rate(endless: Iterable[Any], device: str, seconds: float) -> float:
    """Seconds an item; at least one is timed, and the device is waited for at both ends."""
    items = iter(endless)

    def take(number: int) -> float:
        begin = time.perf_counter()
        for _ in range(number):
            next(items)
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)
        return (time.perf_counter() - begin) / number

    take(WARM_UP)
    return take(max(1, round(seconds / take(WARM_UP))))
