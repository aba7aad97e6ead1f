"""The interval over seeds and images against its closed form, and its coverage by simulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from agc.reports.arms import finished
from agc.reports.compare import main_table
from agc.reports.images import CORRECT, IMAGES, correct_images, two_way_interval
from tests.support.records import collected, entry, write_cell


def arms(
    rng: np.random.Generator, seeds: int, images: int, gain: float = 0.0
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Both arms of runs that find some images easy and some hard; a correction of ``gain``."""
    hard = rng.uniform(0.3, 0.9, size=images)
    plain = rng.random((seeds, images)) < hard
    # Each image gains or loses by itself, in all seeds alike.
    own = hard + gain + 0.1 * rng.choice([-1, 1], size=images)
    return plain, rng.random((seeds, images)) < own


def test_the_variance_is_that_of_drawing_both_ways() -> None:
    plain, corrected = arms(np.random.default_rng(0), 6, 60)
    table = corrected.astype(float) - plain
    seeds, images = table.shape
    # Of multinomial counts: E[w²] = 2 − 1/n, E[w w'] = 1 − 1/n.
    expected = (
        (table**2).sum()
        + (1 - 1 / images) * (table.sum(axis=1) ** 2).sum()
        + (1 - 1 / seeds) * (table.sum(axis=0) ** 2).sum()
        + (1 - 1 / seeds) * (1 - 1 / images) * table.sum() ** 2
    ) / table.size**2 - table.mean() ** 2
    found = two_way_interval(plain, corrected, draws=4_000)
    assert found.mean == pytest.approx(table.mean())
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(np.sqrt(expected), rel=0.05)


def test_it_covers_what_seeds_and_images_are_drawn_from() -> None:
    rng = np.random.default_rng(1)
    found = [two_way_interval(*arms(rng, 8, 80, gain=0.05), draws=200) for _ in range(150)]
    covered = np.mean([one.low <= 0.05 <= one.high for one in found])
    assert covered >= 0.92


def test_the_same_draws_each_time_and_no_interval_of_one_seed() -> None:
    plain, corrected = arms(np.random.default_rng(2), 3, 20)
    assert two_way_interval(plain, corrected) == two_way_interval(plain, corrected)
    alone = two_way_interval(plain[:1], corrected[:1])
    assert np.isnan((alone.low, alone.high)).all()
    same = two_way_interval(plain, plain)
    assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_tables_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 4\)"):
        two_way_interval(np.ones((2, 3)), np.ones((2, 4)))


def test_columns_are_there_where_all_pairs_tell_their_images(tmp_path: Path) -> None:
    folders = [
        write_cell(tmp_path, correction=entry(name), seed=seed)
        for name in ("none", "agc")
        for seed in (0, 1)
    ]
    records, epochs = collected(folders, tmp_path / "out")
    names = ["accuracy_difference_low_images", "accuracy_difference_high_images"]
    assert not set(names) & set(main_table(records, epochs))

    bits = np.random.default_rng(3).random((4, 21)) < 0.7
    records[CORRECT] = [np.packbits(row).tobytes() for row in bits]
    records[IMAGES] = 21
    one, other = (finished(records[records["correction"] == name]) for name in ("none", "agc"))
    places = {name: list(records.index[records["correction"] == name]) for name in ("none", "agc")}
    got = correct_images(one, other)
    assert got is not None
    for mine, name in zip(got, ("none", "agc"), strict=True):
        np.testing.assert_array_equal(mine, bits[places[name]])
    (row,) = main_table(records, epochs)[names].to_numpy()
    want = two_way_interval(*got)
    assert tuple(row) == pytest.approx((want.low, want.high))

    records[CORRECT] = pd.Series([*records[CORRECT][:3], None])
    assert not set(names) & set(main_table(records, epochs))
