"""Images that are decoded when they are needed: sets larger than memory, and folders of files.

torch's DataLoader runs the workers: it keeps order whatever their number, pins memory, and reports
an error of a worker where the batch is asked for. What is random is drawn from seeds of
:mod:`agc.rng` for each image, never in a worker's own stream, so that the number of workers
changes nothing.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from agc import rng
from agc.datasets.shared.decode import REMARKS, NoImage, decode
from agc.errors import UserError
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


MARGIN = 8 / 7
"""Shorter side, over that of the central square which is cut out: 256 to 224, as is usual."""


LARGEST = 2 * 89_478_485
"""Pixels of an image, decoded or enlarged: PIL's own bound, which it decodes nothing above."""

_SAID: set[tuple[str, str]] = set()
"""What this process has warned of: the remark, and the first image of the set."""


class EncodedImages(Protocol):
    """Files of images, by number; each worker has a copy."""

    def read(self, number: int) -> bytes:
        """The encoded image."""

    def name(self, number: int) -> str:
        """What a message calls the image."""


@dataclass(frozen=True)
class StreamedSplit:
    """Some images of a set, and their labels.

    Attributes:
        files: encoded images.
        numbers: of the images that belong to the split, int64 on the CPU.
        labels: int64 [N], on the device.
        size: height and width of a decoded image.
        device: where batches are wanted.
        upright: follow the EXIF orientation of an image.
        outspoken: warn once of each of :data:`agc.datasets.shared.decode.REMARKS` that images
            have. Published sets are read as everywhere, without a word.
    """

    files: EncodedImages
    numbers: Tensor
    labels: Tensor
    size: int
    device: str = "cpu"
    upright: bool = False
    outspoken: bool = False

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Tensor | slice) -> StreamedSplit:
        return replace(self, numbers=self.numbers[index], labels=self.labels[index])

    def to(self, device: str) -> StreamedSplit:
        """The same split for another device."""
        return replace(self, labels=self.labels.to(device), device=str(torch.device(device)))

    def relabelled(self, labels: Tensor) -> StreamedSplit:
        """The same images with other labels, int64 [N]."""
        return replace(self, labels=labels)

    @property
    def images(self) -> Decoded:
        """The images as a tensor would have them, decoded where it is indexed."""
        return Decoded(self)

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels in batches of this size; the last one may be smaller."""
        rows = torch.arange(len(self))
        return self.fetch(rows.split(batch_size) if len(rows) else ())

    def fetch(
        self,
        batches: Iterable[Tensor],
        area: tuple[float, float] | None = None,
        seed: int = 0,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Images, uint8 [N, 3, size, size] on the device, and labels of each batch.

        Args:
            batches: numbers of images within the split, on the CPU.
            area: share of an image that a random box has, which is resized to the whole; without
                it, it is the central square.
            seed: of the boxes.

        Raises:
            UserError: a file is no whole image; the message names it.
        """
        from torch.utils.data import DataLoader
        from torchvision.transforms import v2  # noqa: F401  # once, before processes are forked

        rows = [batch.tolist() for batch in batches]
        cuda = torch.device(self.device).type == "cuda"
        loader = DataLoader(
            self.decoder(area, seed),
            batch_sampler=rows,
            num_workers=workers(),
            pin_memory=cuda,
            worker_init_fn=one_thread,
            # Without it, the loader draws a seed from the global stream.
            generator=rng.generator(seed, "workers"),
        )
        for row, (images, remarks) in zip(rows, _named(loader), strict=True):
            self.remark(row, remarks.tolist())
            index = torch.tensor(row)
            index = index.pin_memory() if cuda else index  # else the copy waits for the device
            labels = self.labels[index.to(self.device, non_blocking=cuda)]
            yield images.to(self.device, non_blocking=cuda), labels

    def decoder(self, area: tuple[float, float] | None = None, seed: int = 0) -> _Decoder:
        """What decodes the images, with the arguments of :meth:`fetch`."""
        return _Decoder(self.files, self.numbers.tolist(), self.size, area, seed, self.upright)

    def remark(self, places: Sequence[int], remarks: Sequence[int]) -> None:
        """Warn of what decoded images have, by the name of the first that has it."""
        if not self.outspoken or not any(remarks):
            return
        for bit, what in enumerate(REMARKS):
            having = [
                place for place, found in zip(places, remarks, strict=True) if found >> bit & 1
            ]
            said = (what, self.files.name(0))
            if having and said not in _SAID:
                _SAID.add(said)
                name = self.files.name(int(self.numbers[having[0]]))
                warnings.warn(f"{name}, and perhaps more images, has {what}", stacklevel=2)


class Decoded:
    """Looks like the tensor of a streamed split's images; what is indexed is decoded here."""

    def __init__(self, split: StreamedSplit) -> None:
        self._split = split
        self.shape = (len(split), 3, split.size, split.size)
        self.device = split.device

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        split = self._split[index]
        decoder, places = split.decoder(), range(len(split))
        images, remarks = zip(*(decoder[place] for place in places), strict=True)
        split.remark(places, remarks)
        return torch.stack(images).to(split.device)


def workers() -> int:
    """Processes that decode images: ``AGC_LOADER_WORKERS``, else the cores but one, at most 8.

    Raises:
        UserError: the variable is not a number from 0.
    """
    given = os.environ.get("AGC_LOADER_WORKERS")
    if given is None:
        return max(1, min(8, len(os.sched_getaffinity(0)) - 1))
    if not given.isdecimal():
        raise UserError(f"AGC_LOADER_WORKERS = {given!r}: expected a number from 0")
    return int(given)


@dataclass(frozen=True)
class _Decoder:
    """What a worker has: the images of a split by their place in it."""

    files: EncodedImages
    numbers: Sequence[int]
    size: int
    area: tuple[float, float] | None
    seed: int
    upright: bool

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        """One image, uint8 [3, size, size], and the bits of its remarks."""
        from torchvision.transforms import v2

        number = self.numbers[place]
        try:
            image, remarks = decode(self.files.read(number), self.upright)
            if self.area is None:
                _refuse_ribbon(*image.size, round(MARGIN * self.size))
        except (OSError, NoImage) as error:
            reason = f"is no whole image: {error}" if isinstance(error, OSError) else str(error)
            raise UserError(f"{self.files.name(number)} {reason}") from error
        if self.area is None:
            image = v2.functional.resize(image, [round(MARGIN * self.size)])
            image = v2.functional.center_crop(image, [self.size, self.size])
        else:
            with rng.isolated(rng.derive(self.seed, "box", step=number)):
                image = v2.RandomResizedCrop(self.size, scale=self.area)(image)
        return v2.functional.pil_to_tensor(image), remarks


def _refuse_ribbon(width: int, height: int, side: int) -> None:
    """Refuse images that would fill the memory when their shorter side is ``side``."""
    if max(width, height) * side * side > LARGEST * min(width, height):
        raise NoImage(
            f"has {width}×{height} pixels: with {side} on the shorter side it would have more than "
            f"{LARGEST:,}"
        )


def _named(batches: Iterable[list[Tensor]]) -> Iterator[list[Tensor]]:
    """Batches; an error of a worker loses the traceback that its message has been given."""
    try:
        yield from batches
    except UserError as error:
        kind = f"{UserError.__module__}.{UserError.__name__}: "
        raise UserError(str(error).splitlines()[-1].removeprefix(kind)) from error


def one_thread(worker: int) -> None:
    """What each worker begins with: as many of them as cores are work enough."""
    torch.set_num_threads(1)
