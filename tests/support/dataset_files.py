"""Small files in the exact formats in which data sets are published."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

from agc.datasets.shared.originals import Original


@dataclass(frozen=True)
class Made:
    """Files of a data set in ``folder``, and the arrays that are in them.

    ``arrays`` has images [N, C, H, W] and labels [N] of each split.
    """

    folder: Path
    originals: list[Original]
    arrays: dict[str, tuple[np.ndarray, np.ndarray]]
    options: dict[str, Any]


def pictures(count: int, shape: tuple[int, ...], classes: int, seed: int) -> tuple:
    draw = np.random.default_rng(seed)
    return draw.integers(256, size=(count, *shape), dtype=np.uint8), np.arange(count) % classes


def sealed(folder: Path, *names: str) -> list[Original]:
    """The files of a folder with their own checksums, as if these had been published."""
    found = names or sorted(path.name for path in folder.iterdir())
    sums = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in found}
    return [Original(name, md5) for name, md5 in sums.items()]


def idx(folder: Path) -> Made:
    arrays = {"train": pictures(30, (1, 28, 28), 10, 0), "test": pictures(20, (1, 28, 28), 10, 1)}
    for which, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = arrays[which]
        header = struct.pack(">4i", 2051, len(images), 28, 28)
        with gzip.open(folder / f"{prefix}-images-idx3-ubyte.gz", "wb") as file:
            file.write(header + images.tobytes())
        with gzip.open(folder / f"{prefix}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(struct.pack(">2i", 2049, len(labels)) + labels.astype(np.uint8).tobytes())
    return Made(folder, sealed(folder), arrays, {})


def cifar(
    folder: Path, top: str, files: dict[str, list[str]], key: str, meta: tuple[str, str, int]
) -> Made:
    """The tar archive: rows of 3,072 bytes (red, green, blue) and lists of labels, pickled."""
    file, names, classes = meta
    arrays = {
        which: pictures(2 * classes, (3, 32, 32), classes, seed) for seed, which in enumerate(files)
    }
    name = {"cifar-10-batches-py": "cifar-10", "cifar-100-python": "cifar-100"}[top]
    with tarfile.open(folder / f"{name}-python.tar.gz", "w:gz") as archive:

        def add(inside: str, content: Any) -> None:
            data = pickle.dumps(content, protocol=2)
            info = tarfile.TarInfo(f"{top}/{inside}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))

        add(file, {names: [f"class {i}" for i in range(classes)]})
        for which, parts in files.items():
            images, labels = arrays[which]
            rows = np.array_split(images.reshape(len(images), -1), len(parts))
            chunks = np.array_split(labels, len(parts))
            for part, data, numbers in zip(parts, rows, chunks, strict=True):
                add(part, {"data": data, key: numbers.tolist(), "batch_label": part})
    return Made(folder, sealed(folder), arrays, {})


def cifar10(folder: Path) -> Made:
    files = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
    return cifar(
        folder, "cifar-10-batches-py", files, "labels", ("batches.meta", "label_names", 10)
    )


def cifar100(folder: Path) -> Made:
    files = {"train": ["train"], "test": ["test"]}
    meta = ("meta", "fine_label_names", 100)
    return cifar(folder, "cifar-100-python", files, "fine_labels", meta)


def svhn(folder: Path) -> Made:
    """MATLAB files of [32, 32, 3, N]; the digit 0 has the label 10."""
    counts = {"train": 30, "test": 20}
    arrays = {which: pictures(n, (3, 32, 32), 10, n) for which, n in counts.items()}
    for which, (images, labels) in arrays.items():
        mat = {"X": images.transpose(2, 3, 1, 0), "y": np.where(labels == 0, 10, labels)[:, None]}
        savemat(folder / f"{which}_32x32.mat", mat, do_compression=True)
    return Made(folder, sealed(folder), arrays, {})


def svhn_extra(folder: Path) -> Made:
    made = svhn(folder)
    images, labels = pictures(50, (3, 32, 32), 10, 50)
    mat = {"X": images.transpose(2, 3, 1, 0), "y": np.where(labels == 0, 10, labels)[:, None]}
    savemat(folder / "extra_32x32.mat", mat)
    own = made.arrays["train"]
    train = np.concatenate([own[0], images]), np.concatenate([own[1], labels])
    return Made(folder, sealed(folder), {**made.arrays, "train": train}, {"extra": True})


def jpeg(image: np.ndarray, mode: str = "RGB") -> tuple[bytes, np.ndarray]:
    """A JPEG file of an image [C, H, W] of one colour, and its pixels as PIL decodes them."""
    buffer = io.BytesIO()
    picture = Image.fromarray(image.transpose(1, 2, 0)).convert(mode)
    picture.save(buffer, "JPEG", quality=95)
    decoded = np.array(Image.open(io.BytesIO(buffer.getvalue())).convert("RGB"))
    return buffer.getvalue(), decoded.transpose(2, 0, 1)


def flat(count: int, shape: tuple[int, ...], classes: int, seed: int) -> tuple:
    """Images of one colour each: JPEG keeps them nearly as they are."""
    colours, labels = pictures(count, (shape[0], 1, 1), classes, seed)
    return np.ascontiguousarray(np.broadcast_to(colours, (count, *shape))), labels


def tiny_imagenet(folder: Path) -> Made:
    """The zip archive: a folder a class, and a table of the validation images; one is grey."""
    wnids = ["n02", "n01", "n03"]
    order = sorted(wnids)
    arrays: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    with zipfile.ZipFile(folder / "tiny-imagenet-200.zip", "w") as archive:
        top = "tiny-imagenet-200"
        archive.writestr(f"{top}/wnids.txt", "\n".join(wnids))
        images, labels = flat(6, (3, 64, 64), 3, 0)
        decoded, numbers = [], []
        for number in np.argsort(labels, kind="stable"):
            wnid = order[labels[number]]
            data, pixels = jpeg(images[number], "L" if number == 0 else "RGB")
            archive.writestr(f"{top}/train/{wnid}/images/{wnid}_{number}.JPEG", data)
            decoded.append(pixels)
            numbers.append(labels[number])
        archive.writestr(f"{top}/train/n01/n01_boxes.txt", "0 0 9 9")
        arrays["train"] = np.stack(decoded), np.array(numbers)
        images, labels = flat(6, (3, 64, 64), 3, 1)
        pairs = [jpeg(image) for image in images]
        for number, (data, _) in enumerate(pairs):
            archive.writestr(f"{top}/val/images/val_{number}.JPEG", data)
            archive.writestr(f"{top}/test/images/test_{number}.JPEG", data)
        rows = [f"val_{i}.JPEG\t{order[c]}\t0\t0\t9\t9" for i, c in enumerate(labels)]
        archive.writestr(f"{top}/val/val_annotations.txt", "\n".join(reversed(rows)) + "\n")
        arrays["test"] = np.stack([pixels for _, pixels in pairs]), labels
    return Made(folder, sealed(folder), arrays, {})


MAKERS: dict[str, tuple[str, Callable[[Path], Made]]] = {
    "mnist": ("mnist", idx),
    "fashion-mnist": ("fashion-mnist", idx),
    "kmnist": ("kmnist", idx),
    "cifar10": ("cifar10", cifar10),
    "cifar100": ("cifar100", cifar100),
    "svhn": ("svhn", svhn),
    "svhn with extra": ("svhn", svhn_extra),
    "tiny-imagenet": ("tiny-imagenet", tiny_imagenet),
}
"""Of each case the data set, and what makes its files in a folder."""
