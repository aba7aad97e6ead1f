"""SVHN, cropped digits (Netzer et al. 2011): MATLAB files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agc.datasets.base import Dataset
from agc.datasets.shared.originals import Original, Source
from agc.datasets.shared.prepare import load_images, save_split
from agc.registry import DATASETS

if TYPE_CHECKING:
    import numpy as np


def originals(extra: bool = False) -> list[Original]:
    """The files, as torchvision knows them; ``extra`` is a third one of 1.3 GB."""
    from torchvision.datasets import SVHN

    wanted = ["train", "test", *(["extra"] if extra else [])]
    return [Original(name, md5, (url,)) for url, name, md5 in map(SVHN.split_list.get, wanted)]


def convert(paths: dict[str, Path], folder: Path) -> int:
    """Write both splits; the extra images, if there are any, follow those of training."""
    import numpy as np

    names = ("train_32x32.mat", "extra_32x32.mat")
    parts = [read(paths[name]) for name in names if name in paths]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    save_split(folder, "train", images, labels)
    save_split(folder, "test", *read(paths["test_32x32.mat"]))
    return 10


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, 3, 32, 32] and labels [N] of a file, which stores them as [32, 32, 3, N]."""
    from scipy.io import loadmat

    content = loadmat(path)
    # The files call the digit 0 class 10.
    return content["X"].transpose(3, 2, 0, 1), content["y"].ravel() % 10


@DATASETS.register(
    "svhn",
    shape=(3, 32, 32),
    classes=10,
    train=73_257,
    test=26_032,
    source=Source(originals, convert, variants=("extra",)),
)
def svhn(*, extra: bool = False) -> Dataset:
    """House numbers from street views, 32×32.

    ``extra`` adds the 531,131 easier images to those of training.
    """
    return load_images("svhn", extra=extra)
