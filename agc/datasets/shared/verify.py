"""Every image of a data set read once, so that a bad one is found before a training comes to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from agc import rng
from agc.datasets.base import Images
from agc.datasets.shared.checked import load
from agc.datasets.shared.decode import REMARKS
from agc.datasets.shared.stream import StreamedSplit, one_thread, workers
from agc.errors import UserError
from agc.lazy import torch

BATCH = 64
"""Images whose outcome a worker hands over at a time."""


def verify(name: str, options: dict[str, Any], report: Callable[[str], None]) -> int:
    """Load a data set as training does, and decode all of it; how many images cannot be read.

    Args:
        name: of the data set.
        options: of its entry.
        report: called with a line on each split and each bad image.

    Raises:
        UserError: the data set cannot be loaded, or is not sound.
    """
    dataset = load(name, options)
    bad = 0
    for which, split in (("training", dataset.train), ("test", dataset.test)):
        counts = torch.bincount(split.labels, minlength=dataset.classes)
        report(
            f"{name}, {which} split: {len(split)} images of {dataset.classes} classes, "
            f"{int(counts.min())} to {int(counts.max())} a class"
        )
        remarks: Counter[str] = Counter()
        for fault, bits in _outcomes(split):
            if fault:
                bad += 1
                report(fault)
            remarks.update(what for bit, what in enumerate(REMARKS) if bits >> bit & 1)
        for what, count in remarks.items():
            report(f"{count} of them have {what}")
    return bad


def _outcomes(split: Images) -> Iterator[tuple[str, int]]:
    """What is wrong with each streamed image, or nothing, and the bits of its remarks."""
    if not isinstance(split, StreamedSplit):
        return
    from torch.utils.data import DataLoader

    loader = DataLoader(
        _Tried(split),
        BATCH,
        num_workers=workers(),
        collate_fn=list,
        worker_init_fn=one_thread,
        # Without it, the loader draws a seed from the global stream.
        generator=rng.generator(0, "verification"),
    )
    for outcomes in loader:
        yield from outcomes


@dataclass(frozen=True)
class _Tried:
    """What a worker has: the split, of whose images it tells how decoding them ends."""

    split: StreamedSplit

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, place: int) -> tuple[str, int]:
        try:
            return "", self.split[[place]].decoder()[0][1]
        except UserError as error:
            return str(error), 0
