"""Which test images each run has right: the spread of a difference over seeds and images.

A t interval over seeds takes the test images as given. Other images of the same kind would be
right and wrong otherwise, in all runs alike; that part of the spread no number of seeds shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agc.reports.arms import common_seeds
from agc.reports.statistics import CONFIDENCE

if TYPE_CHECKING:
    import pandas as pd

CORRECT, IMAGES = "final_correct", "test_images"
"""Columns of the records that tell it: packed bits as bytes, and how many of them count."""
DRAWS = 2_000
AT_ONCE = 250
"""Draws held in memory together: 20 MB for 10,000 images."""


class TwoWay(NamedTuple):
    """Difference of accuracies with its 95 % interval over seeds and images (NaN: one seed)."""

    mean: float
    low: float
    high: float
    seeds: int
    images: int


def two_way_interval(
    plain: ArrayLike, corrected: ArrayLike, seed: int = 0, draws: int = DRAWS
) -> TwoWay:
    """Bootstrap the difference of accuracies over seeds and images, both drawn anew.

    The pigeonhole bootstrap of Owen (Ann. Appl. Stat. 1(2), 2007): seeds and images are resampled
    independently of each other, and a drawn image is drawn in all drawn seeds. It never has too
    small a variance in the mean, as no resampling of two ways can be exact; where seeds and images
    have no effect of their own, and only runs differ image by image, it has up to three times the
    variance.

    Args:
        plain: [seeds, images], whether the final weights of a run have an image right.
        corrected: the same of the other arm, its seeds and images in the same order.
        seed: of the draws.
        draws: how many.

    Raises:
        ValueError: the two have not the same shape, or not two dimensions.
    """
    first, second = np.asarray(plain, dtype=bool), np.asarray(corrected, dtype=bool)
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(f"shapes {first.shape} and {second.shape}: both are [seeds, images]")
    seeds, images = first.shape
    if not first.size:
        return TwoWay(np.nan, np.nan, np.nan, seeds, images)
    difference = second.astype(np.float32) - first.astype(np.float32)
    # A sum of -1, 0 and 1 is exact; a mean of float32 would not be.
    mean = float(difference.sum(dtype=np.float64) / difference.size)
    if seeds < 2:
        return TwoWay(mean, np.nan, np.nan, seeds, images)
    rng = np.random.default_rng(seed)
    found = np.concatenate(
        [_redraw(difference, min(AT_ONCE, draws - done), rng) for done in range(0, draws, AT_ONCE)]
    )
    low, high = np.quantile(found, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return TwoWay(mean, float(low), float(high), seeds, images)


def correct_images(
    plain: pd.DataFrame, corrected: pd.DataFrame
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Both arms' [seeds, images] of their common seeds, if all of these runs tell theirs.

    Both arms are as of :func:`agc.reports.arms.finished`. None, too, where there is no pair, and
    where runs were tested on different numbers of images.
    """
    seeds = common_seeds(plain, corrected)
    if not seeds or CORRECT not in plain or IMAGES not in plain:
        return None
    arms = plain.loc[seeds], corrected.loc[seeds]
    told = [isinstance(bits, bytes) for arm in arms for bits in arm[CORRECT]]
    counts = {count for arm in arms for count in arm[IMAGES].dropna()}
    if not all(told) or len(counts) != 1:
        return None
    (count,) = counts
    one, other = (np.stack([_unpack(bits, int(count)) for bits in arm[CORRECT]]) for arm in arms)
    return one, other


def _unpack(bits: bytes, count: int) -> NDArray[np.bool_]:
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=count).astype(bool)


def _redraw(
    difference: NDArray[np.float32], draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """[draws] of the mean over seeds and images drawn with replacement."""
    seeds, images = difference.shape
    # How often each seed and each image was drawn; the mean is a product of both with the table.
    often = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws).astype(np.float32)
    each = rng.multinomial(images, np.full(images, 1 / images), size=draws)
    return np.einsum("di,di->d", (often @ difference).astype(np.float64), each) / difference.size
