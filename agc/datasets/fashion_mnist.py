"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from agc.datasets.base import Dataset
from agc.datasets.shared.idx import idx_source
from agc.datasets.shared.prepare import load_images
from agc.datasets.shared.smaller import smaller
from agc.registry import DATASETS, LATER

# The package's files have headers of their own; with name and date put back into these, they have
# the published checksums (a test does it).
CONTENTS = {
    "train-images-idx3-ubyte.gz": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte.gz": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte.gz": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte.gz": "15d484375f8d13e6eb1aabb0c3f46965",
}
SOURCE = idx_source(
    "FashionMNIST",
    system=Path("/usr/share/datasets/fashion-mnist"),
    package="dataset-fashion-mnist",
    contents=CONTENTS,
)


@DATASETS.register(
    "fashion-mnist", shape=(1, 28, 28), classes=10, train=60_000, test=10_000, source=SOURCE
)
def fashion_mnist(*, size: Annotated[Literal[28, 14], LATER] = 28) -> Dataset:
    """Grey-scale pictures of clothes, 28×28; a Debian package has them.

    With ``size`` 14 each pixel is the mean of four.
    """
    dataset = load_images("fashion-mnist")
    return dataset if size == 28 else smaller(dataset, 28 // size)
