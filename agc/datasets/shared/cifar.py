"""The python version of the CIFAR archives (Krizhevsky 2009): pickles in a tar file."""

from __future__ import annotations

import pickle
import tarfile
from functools import partial
from pathlib import Path
from typing import Any

from agc.datasets.shared.originals import Original, Source
from agc.datasets.shared.prepare import save_split
from agc.errors import UserError


def cifar_source(family: str) -> Source:
    """Source of the torchvision class ``family``: its archive, checksum and address."""
    return Source(originals=partial(cifar_originals, family), convert=partial(convert, family))


def cifar_originals(family: str) -> list[Original]:
    """The one archive, as torchvision knows it."""
    known = _known(family)
    return [Original(known.filename, known.tgz_md5, (known.url,))]


def convert(family: str, paths: dict[str, Path], folder: Path) -> int:
    """Write both splits; returns the number of (fine) classes.

    Unpickling could run code, so that nothing but arrays and plain values is read, whatever the
    archive's checksum says.
    """
    import numpy as np

    known = _known(family)
    with tarfile.open(paths[known.filename]) as archive:

        def content(name: str) -> Any:
            file = archive.extractfile(f"{known.base_folder}/{name}")
            try:
                return _Arrays(file, encoding="latin1").load()
            except Exception as error:  # whatever junk makes the reader stumble over
                raise UserError(
                    f"{paths[known.filename]}: {name} cannot be read: {error}"
                ) from error

        for which, files in (("train", known.train_list), ("test", known.test_list)):
            parts = [content(name) for name, _ in files]
            images = np.concatenate([part["data"] for part in parts]).reshape(-1, 3, 32, 32)
            labels = [part.get("labels", part.get("fine_labels")) for part in parts]
            save_split(folder, which, images, np.concatenate(labels))
        return len(content(known.meta["filename"])[known.meta["key"]])


class _Arrays(pickle.Unpickler):
    """Reads plain values and numpy arrays, and refuses every other class and function."""

    ALLOWED = frozenset(
        [
            ("_codecs", "encode"),
            ("numpy", "dtype"),
            ("numpy", "ndarray"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
        ]
    )

    def find_class(self, module: str, name: str) -> Any:
        """The few that arrays are pickled with.

        Raises:
            UnpicklingError: any other is asked for.
        """
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array does")
        return super().find_class(module, name)


def _known(family: str) -> Any:
    from torchvision import datasets

    return getattr(datasets, family)
