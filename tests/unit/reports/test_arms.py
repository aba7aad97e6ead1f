"""Which runs are paired: by seed, both with a result; the longer plain runs in test_compare."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agc.reports.arms import finished, paired


def arm(statuses: list[str], values: list[float], seeds: list[int]) -> pd.DataFrame:
    return finished(pd.DataFrame({"status": statuses, "seed": seeds, "x": values}))


def test_pairs_are_of_seeds_with_two_results_in_their_order() -> None:
    plain = arm(["finished"] * 3 + ["diverged"], [0.1, 0.2, 0.3, 0.4], [2, 0, 1, 3])
    corrected = arm(["finished", "finished", "diverged", "finished"], [1, 2, 3, 4], [0, 2, 1, 3])
    np.testing.assert_allclose(paired(plain, corrected, "x"), [0.8, 1.9])
    assert not len(paired(plain.iloc[:0], corrected, "x"))
