"""Small sets of encoded images: folders of files, and ImageNet's archives."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
from scipy.io import savemat

from tests.support.dataset_files import Made, jpeg, pictures, sealed

# WordNet ids in the order of their ILSVRC ids, which is not that of their names.
WNIDS = ["n03", "n01", "n02"]
PER_CLASS = 4


def files(count: int, seed: int) -> list[bytes]:
    """JPEG files of several sizes."""
    out = []
    for number in range(count):
        images, _ = pictures(1, (3, 24 + number % 5, 30 - number % 7), 1, seed + number)
        out.append(jpeg(images[0])[0])
    return out


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def imagenet(folder: Path) -> tuple[Made, dict[str, list[bytes]], list[int]]:
    """The three archives; returns also each class' training files, and the validation labels."""
    folder.mkdir()
    words = [(i + 1, wnid, 0) for i, wnid in enumerate(WNIDS)] + [(4, "n00", 3)]
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")]
    synsets = np.array(words, dtype=fields).reshape(-1, 1)
    meta = io.BytesIO()
    savemat(meta, {"synsets": synsets})
    truth = [1, 3, 2, 2, 1]
    with tarfile.open(folder / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
        top = "ILSVRC2012_devkit_t12/data"
        add(archive, f"{top}/meta.mat", meta.getvalue())
        lines = "".join(f"{i}\n" for i in truth).encode()
        add(archive, f"{top}/ILSVRC2012_validation_ground_truth.txt", lines)
    held = files(len(truth), 100)
    with tarfile.open(folder / "ILSVRC2012_img_val.tar", "w") as archive:
        for number in reversed(range(len(truth))):
            add(archive, f"ILSVRC2012_val_{number + 1:08}.JPEG", held[number])
    train = {wnid: files(PER_CLASS, 10 * i) for i, wnid in enumerate(WNIDS)}
    with tarfile.open(folder / "ILSVRC2012_img_train.tar", "w") as archive:
        for wnid, images in train.items():
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as part:
                for number, data in enumerate(images):
                    add(part, f"{wnid}_{number}.JPEG", data)
            add(archive, f"{wnid}.tar", inner.getvalue())
    train["test"] = held
    return (
        Made(folder, sealed(folder), {}, {}),
        train,
        [sorted(WNIDS).index(WNIDS[i - 1]) for i in truth],
    )


def folders(root: Path, per_class: int = 12) -> Path:
    """``root`` with as many images of two classes for training, and for testing."""
    for part, seed in (("train", 0), ("val", 500)):
        for number, name in enumerate(("cats", "dogs")):
            folder = root / part / name
            folder.mkdir(parents=True)
            for index, data in enumerate(files(per_class, seed + 100 * number)):
                (folder / f"{index:03}.jpg").write_bytes(data)
    return root
