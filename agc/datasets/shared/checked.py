"""Data sets as they are loaded: what no training can be made of is said before anything runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from agc.datasets.base import Dataset, Images, Split
from agc.errors import UserError
from agc.lazy import torch
from agc.registry import DATASETS

if TYPE_CHECKING:
    from torch import Tensor

CONSTANT = 1e-9
"""Below any standard deviation but that of a constant channel, whose own may be no exact 0: one
pixel in 10¹³ that is one level of 255 brighter than all others gives more.
"""

BYTES = "expected uint8 from 0 to 255, [N, C, H, W]"
AT_MOST = 5
"""Classes that a message names."""


def load(name: str, options: dict[str, Any], seed: int = 0) -> Dataset:
    """A data set, shipped or of somebody else's, on the CPU.

    Args:
        name: of the data set.
        options: of its entry.
        seed: of the cell, for a set that chooses its test images by it.

    Raises:
        UserError: it is not on this machine, an option is bad, or it is not sound.
    """
    dataset = DATASETS.create(name, options=options, seed=seed)
    check(name, dataset)
    return dataset


def check(name: str, dataset: Any) -> None:
    """Find out whether a data set can be trained on, by its labels, shapes and statistics.

    Pixels are looked at only where something is wrong with these. Images that are decoded when
    needed are not decoded here.

    Args:
        name: of the data set.
        dataset: what its entry has returned.

    Raises:
        UserError: it is not sound; the message has the split and the value, and what is expected.
    """
    where = f"dataset {name!r}"
    if not isinstance(dataset, Dataset):
        raise UserError(f"{where} is {_kind(dataset)}; expected a Dataset of agc.datasets.base")
    classes = dataset.classes
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 2:
        raise UserError(f"{where}: classes = {classes!r}; expected a whole number from 2")
    for which, split in (("training", dataset.train), ("test", dataset.test)):
        _check_images(f"{where}, {which} split", split)
        _check_labels(f"{where}, {which} split", split, classes)
    sizes = [tuple(split.images.shape[1:]) for split in (dataset.train, dataset.test)]
    if sizes[0] != sizes[1]:
        raise UserError(
            f"{where}: training images are {_shape(sizes[0])} (C, H, W), test images "
            f"{_shape(sizes[1])}; expected one shape"
        )
    _check_statistics(where, dataset, sizes[0][0])
    _check_range(where, dataset)
    counts = torch.bincount(dataset.train.labels, minlength=classes).tolist()
    missing = [k for k, count in enumerate(counts) if not count and k not in dataset.absent]
    if missing:
        listed = ", ".join(map(str, missing[:AT_MOST]))
        more = f" and {len(missing) - AT_MOST} more" if len(missing) > AT_MOST else ""
        raise UserError(
            f"{where}, training split: no image of class {listed}{more}; expected at least one of "
            f"each of the {classes} classes, numbered from 0"
        )


def _check_images(where: str, split: Images) -> None:
    if not all(hasattr(split, part) for part in ("images", "labels", "in_order")):
        raise UserError(f"{where} is {_kind(split)}; expected a Split of agc.datasets.base")
    images = split.images
    if isinstance(split, Split) and not isinstance(images, torch.Tensor):
        raise UserError(f"{where}: images are {_kind(images)}, not a torch tensor; {BYTES}")
    if isinstance(images, torch.Tensor) and images.dtype != torch.uint8:
        raise UserError(f"{where}: images are {_found(images)}; {BYTES}")
    shape = tuple(images.shape)
    if len(shape) != 4 or 0 in shape[1:]:
        raise UserError(f"{where}: images have shape {_shape(shape)}; {BYTES}")
    if shape[0] == 0:
        raise UserError(f"{where}: no image; expected at least one")


def _found(images: Tensor) -> str:
    """Type and range of images that are no bytes, and the first that has a value that is none."""
    kind = str(images.dtype).removeprefix("torch.")
    if not images.is_floating_point() or not images.numel():
        return kind
    bad = ~images.isfinite()
    if bad.any():
        place = int(bad.nonzero()[0, 0])
        return f"{kind}, and image {place} has {images[bad][0].item()}"
    low, high = images.min().item(), images.max().item()
    hint = " (if that is black to white: `(255 * images).round().to(torch.uint8)`)"
    return f"{kind} from {low:g} to {high:g}" + (hint if low >= 0 and high <= 1 else "")


def _check_labels(where: str, split: Images, classes: int) -> None:
    labels = split.labels
    if not isinstance(labels, torch.Tensor):
        raise UserError(f"{where}: labels are {_kind(labels)}; expected a torch tensor of int64")
    count = split.images.shape[0]
    if tuple(labels.shape) != (count,):
        hint = (
            " (one-hot labels: `labels.argmax(dim=1)`)" if labels.shape == (count, classes) else ""
        )
        raise UserError(
            f"{where}: labels have shape {_shape(labels.shape)} for {count} images; expected one "
            f"number an image, ({count},){hint}"
        )
    if labels.dtype != torch.int64:
        kind = str(labels.dtype).removeprefix("torch.")
        raise UserError(f"{where}: labels are {kind}; expected int64: `labels.long()`")
    bad = ((labels < 0) | (labels >= classes)).nonzero().flatten()
    if len(bad):
        first = int(bad[0])
        raise UserError(
            f"{where}: label {int(labels[first])} of image {first} ({len(bad)} of {count} labels "
            f"are such); {classes} classes have the labels 0 to {classes - 1}"
        )


def _check_statistics(where: str, dataset: Dataset, channels: int) -> None:
    for key in ("mean", "std"):
        values = getattr(dataset, key)
        try:
            numbers = [float(value) for value in values]
        except (TypeError, ValueError) as error:
            raise UserError(f"{where}: {key} = {values!r}; expected a number a channel") from error
        if len(numbers) != channels:
            raise UserError(
                f"{where}: {key} has {len(numbers)} numbers; its images have {channels} channels"
            )
        for channel, value in enumerate(numbers):
            if key == "std" and abs(value) < CONSTANT:
                raise UserError(
                    f"{where}, training split: channel {channel} is constant at "
                    f"{255 * float(dataset.mean[channel]):g} of 255 (std = {value:g}), and cannot "
                    "be normalised; leave it out of the images"
                )
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise UserError(
                    f"{where}: {key} of channel {channel} = {value:g}; expected that of training "
                    "images in [0, 1], as channel_statistics of agc.datasets.base gives it"
                )


def _check_range(where: str, dataset: Dataset) -> None:
    """Bytes that hold images from 0 to 1 are nearly black, as the statistics tell."""
    images = dataset.train.images
    dark = max(map(float, (*dataset.mean, *dataset.std))) <= 1 / 255
    if dark and isinstance(images, torch.Tensor) and int(images.max()) <= 1:
        raise UserError(
            f"{where}, training split: the brightest pixel is {int(images.max())} of 255; {BYTES}"
        )


def _kind(thing: Any) -> str:
    module = type(thing).__module__
    name = type(thing).__qualname__
    return name if module == "builtins" else f"{module}.{name}"


def _shape(shape: Any) -> str:
    return str(tuple(int(size) for size in shape))
