"""Prepared stores: original files verified, converted once, published whole, opened memory-mapped.

A store is a folder of plain ``.npy`` files (``train-images.npy`` of uint8 [N, C, H, W],
``train-labels.npy`` of int64 [N], the same for ``test``; of encoded images see
:mod:`agc.datasets.shared.encoded`) and of ``manifest.json``, which has their checksums.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agc.datasets.base import Dataset, Split
from agc.datasets.shared.manifest import MANIFEST, verified_manifest, write_manifest
from agc.datasets.shared.originals import Original, Report, Source, gather
from agc.datasets.shared.place import prepared_folder
from agc.errors import UserError
from agc.files import atomic_folder
from agc.lazy import torch
from agc.registry import DATASETS

if TYPE_CHECKING:
    import numpy as np

CHUNK = 4096
"""Images that are looked at together."""


def source_of(name: str) -> Source | None:
    """What a data set is prepared from; None if it needs no preparation."""
    return DATASETS[name].facts.get("source")


def store_key(name: str, options: dict[str, Any]) -> str:
    """Name of the store that a data set with these options reads."""
    source = source_of(name)
    return "-".join([name, *(source.chosen(options) if source else ())])


def prepare(
    name: str,
    options: dict[str, Any] | None = None,
    root: Path | None = None,
    originals: Sequence[Original] | None = None,
    download: bool = True,
    report: Report = lambda line: None,
) -> Path:
    """Make the store of a data set, unless it is there and whole. Returns its folder.

    Args:
        name: of the data set.
        options: of the data set's entry.
        root: folder of the user's own with original files.
        originals: files with checksums of one's own, instead of the published ones.
        download: whether files that are nowhere on this machine may be downloaded.
        report: called with lines on what is done.

    Raises:
        UserError: the data set needs no preparation, an option is bad, ``root`` is no folder, a
            file is wrong or missing, or the disk full.
    """
    source = source_of(name)
    if source is None:
        raise UserError(f"dataset {name!r} needs no preparation")
    options = DATASETS.resolve(name, options or {})
    if root is not None and not root.is_dir():
        raise UserError(f"{name}: --root {root} is no folder")
    folder = prepared_folder(store_key(name, options))
    from filelock import FileLock, Timeout

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / f".{folder.name}.lock")
        try:
            held = lock.acquire(blocking=False)
        except Timeout:
            report(f"{name}: another process is preparing it; waiting")
            held = lock.acquire()
        with held:
            if _is_whole(folder, name, report):
                report(f"{name}: prepared already in {folder}")
                return folder
            for unfinished in folder.parent.glob(f".{folder.name}.*.tmp"):
                shutil.rmtree(unfinished)
            chosen = source.originals(**source.chosen(options)) if originals is None else originals
            paths = gather(name, source, chosen, root, download, report)
            with atomic_folder(folder) as temporary:
                classes = source.convert(paths, temporary)
                facts = _facts(temporary, name, classes, {o.name: o.md5 for o in chosen})
                write_manifest(temporary, folder.name, facts)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error
    report(f"{name}: prepared in {folder}")
    return folder


def open_store(name: str, **options: Any) -> tuple[Path, dict[str, Any]]:
    """Folder and manifest of a prepared store whose files have been verified.

    Of files of encoded images, which may be larger than memory, only the size is; ``agc data
    prepare`` verifies them too.

    Raises:
        UserError: not prepared, of another version or data set, or a file is truncated or corrupt.
    """
    folder = prepared_folder(store_key(name, options))
    given = {
        key: str(value).lower() if isinstance(value, bool) else value
        for key, value in options.items()
    }
    chosen = "".join(f" --set {shlex.quote(f'{key}={value}')}" for key, value in given.items())
    command = f"agc data prepare {name}" + (chosen if source_of(name).chosen(options) else "")
    if not (folder / MANIFEST).exists():
        raise UserError(f"dataset {name!r} is not prepared in {folder}: run `{command}`")
    try:
        return folder, verified_manifest(folder, name, thorough=False)
    except UserError as error:
        raise UserError(f"{error}; to make it anew, run `{command}`") from error


def load_images(name: str, **options: Any) -> Dataset:
    """A prepared data set of decoded images, its arrays mapped into memory.

    Raises:
        UserError: as :func:`open_store`.
    """
    import numpy as np

    folder, manifest = open_store(name, **options)

    def split(which: str) -> Split:
        # Copy on write: torch wants memory that it might write to, and the file stays as it is.
        images, labels = (
            np.load(folder / f"{which}-{part}.npy", mmap_mode="c") for part in ("images", "labels")
        )
        return Split(torch.from_numpy(images), torch.from_numpy(labels))

    mean, std = tuple(manifest["mean"]), tuple(manifest["std"])
    return Dataset(split("train"), split("test"), manifest["classes"], mean, std)


def save_split(folder: Path, which: str, images: np.ndarray, labels: np.ndarray) -> None:
    """Write the arrays of a split.

    Args:
        folder: of the store.
        which: ``train`` or ``test``.
        images: uint8 [N, C, H, W].
        labels: whole numbers from 0, [N].
    """
    import numpy as np

    sound = images.dtype == np.uint8 and images.ndim == 4 and labels.shape == (len(images),)
    if not sound or labels.dtype.kind not in "iu" or (len(labels) and labels.min() < 0):
        raise ValueError(
            f"{which}: images {images.dtype} {images.shape}, labels {labels.dtype} {labels.shape}; "
            "expected uint8 [N, C, H, W] and whole numbers from 0, [N]"
        )
    np.save(folder / f"{which}-images.npy", np.ascontiguousarray(images))
    np.save(folder / f"{which}-labels.npy", labels.astype(np.int64))


def byte_statistics(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel of uint8 [N, C, H, W], in units of [0, 1].

    From exact histograms, as the images as floating-point numbers may not fit into memory.
    """
    import numpy as np

    counts = np.zeros((images.shape[1], 256), dtype=np.int64)
    for start in range(0, len(images), CHUNK):
        part = images[start : start + CHUNK]
        for channel, total in enumerate(counts):
            total += np.bincount(part[:, channel].ravel(), minlength=256)
    levels = np.arange(256) / 255
    size = counts.sum(axis=1)
    mean = counts @ levels / size
    spread = (counts * (levels - mean[:, None]) ** 2).sum(axis=1) / (size - 1)
    return mean.tolist(), np.sqrt(spread).tolist()


def _facts(folder: Path, name: str, classes: int, originals: dict[str, str]) -> dict[str, Any]:
    """What the manifest of a new store tells of its data."""
    import numpy as np

    facts: dict[str, Any] = {"name": name, "classes": classes, "originals": originals}
    images = folder / "train-images.npy"
    if images.exists():
        facts["mean"], facts["std"] = byte_statistics(np.load(images, mmap_mode="r"))
    return facts


def _is_whole(folder: Path, name: str, report: Report) -> bool:
    """Whether a store is there and good; one that is not is named and removed."""
    if not folder.exists():
        return False
    if not any(folder.iterdir()):  # a workflow makes the folders of its outputs
        folder.rmdir()
        return False
    try:
        verified_manifest(folder, name, thorough=True)
    except UserError as error:
        report(f"{error}; making it anew")
        shutil.rmtree(folder)
        return False
    return True
