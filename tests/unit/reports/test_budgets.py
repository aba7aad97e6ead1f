"""Ladders of made-up grids: planted ratios, units, all rows together, and grids that have none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agc.grids.files import Margin
from agc.reports.budgets import COLUMNS, budget_ladders
from agc.reports.ladder import Rungs, ladder, pooled_ladder
from agc.reports.verdict import EQUIVALENT, NO_FINDING, RELEVANT_GAIN, RELEVANT_HARM
from tests.support.ladders import BUDGETS, ladder_grid
from tests.support.records import collected

RATIO = 0.5
DRAWS = 50


def lines(root: Path, ratio: float, **rest: Any) -> pd.DataFrame:
    records, _ = collected(ladder_grid(root / "cells", ratio, **rest), root)
    return budget_ladders(records, draws=DRAWS)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Lines of a grid whose seeds differ by a tenth of what doubling the epochs is worth."""
    return lines(tmp_path_factory.mktemp("grid"), RATIO, seeds=4, sd=0.004)


def test_planted_ratios_are_found_in_every_row_and_in_all_together(tmp_path: Path) -> None:
    found = lines(tmp_path, RATIO)
    assert list(found.columns[-len(COLUMNS) :]) == COLUMNS
    for correction, ratio in (("agc", RATIO), ("placebo", 1.0)):
        own = found[(found["correction"] == correction) & (found["cost"] == "epochs")]
        assert own["rows"].tolist() == [1, 1, 2] * 2
        assert own["measure"].tolist() == ["test"] * 3 + ["validation"] * 3
        np.testing.assert_allclose(own["ratio"], ratio, rtol=1e-9)
    assert (found["budgets_plain"] == "4 8 16 32").all()
    assert (found["budgets_corrected"] == "4 8 16").all()
    assert found["family"].eq("").all()


def test_units_are_what_an_epoch_costs_times_the_ratio(noisy: pd.DataFrame) -> None:
    epochs, units = (noisy[noisy["cost"] == cost].reset_index() for cost in ("epochs", "units"))
    times = np.where(epochs["correction"] == "agc", 9 / 3, 1.0)
    for name in ("ratio", "low", "high", "low90", "high90"):
        np.testing.assert_allclose(units[name], times * epochs[name])
    assert (units["detectable"] == epochs["detectable"]).all()
    assert units["paper"].isna().all()
    named = epochs["correction"] == "agc"
    assert epochs.loc[named, "paper"].tolist() == pytest.approx([0.479] * named.sum())
    assert epochs.loc[~named, "paper"].isna().all()


def test_verdicts_are_those_of_the_ratio_and_the_margin(noisy: pd.DataFrame) -> None:
    words = noisy.groupby(["correction", "cost"])["verdict"].agg(set)
    assert words["agc", "epochs"] == {RELEVANT_GAIN}
    assert words["agc", "units"] == {RELEVANT_HARM}
    assert words["placebo", "epochs"] <= {EQUIVALENT, NO_FINDING}
    for row in noisy.itertuples():
        assert row.sentence.startswith(row.verdict)
        assert f"{100 * (row.ratio - 1):+.1f} % {row.cost}" in row.sentence
    assert (noisy["margin"] == Margin().epochs).all()


def test_a_wider_margin_of_the_grid_is_used(tmp_path: Path) -> None:
    grid = ladder_grid(tmp_path / "cells", 0.95, seeds=4, sd=0.001, sparsities=(0.9,))
    found = budget_ladders(collected(grid, tmp_path)[0], Margin(epochs=0.5), DRAWS)
    agc = found[(found["correction"] == "agc") & (found["cost"] == "epochs")]
    assert agc["margin"].eq(0.5).all()
    assert "-50.0" in agc["sentence"].iloc[0]
    assert agc["rows"].eq(1).all()  # One row has nothing to be pooled with.


@pytest.mark.parametrize(
    "budgets",
    [
        {"none": (8, 24), "agc": (8,)},  # Plain runs at equal units alone.
        {"none": (8,), "agc": (4, 8)},
        {"none": (4, 8)},
        {"agc": (4, 8)},
    ],
)
def test_arms_of_one_budget_make_no_ladder(tmp_path: Path, budgets: Any) -> None:
    found = lines(tmp_path, RATIO, budgets=budgets)
    assert not len(found)
    assert list(found.columns[-len(COLUMNS) :]) == COLUMNS


def test_other_settings_make_another_row(tmp_path: Path) -> None:
    records, _ = collected(ladder_grid(tmp_path / "cells", RATIO, sparsities=(0.9,)), tmp_path)
    other = records.assign(family="optimizer.lr=0.3")
    fast = records["correction"] == "agc"
    # Of its own family the correction has two budgets; of the other one the plain arm has none.
    apart = records.assign(family=np.where(fast, "optimizer.lr=0.3", ""))
    assert not (budget_ladders(apart, draws=DRAWS)["correction"] == "agc").any()
    both = budget_ladders(pd.concat([records, other], ignore_index=True), draws=DRAWS)
    assert sorted(set(both["family"])) == ["", "optimizer.lr=0.3"]
    assert both["rows"].max() == 2


def test_only_seeds_with_a_result_in_both_arms_count(tmp_path: Path) -> None:
    records, _ = collected(ladder_grid(tmp_path / "cells", RATIO, sparsities=(0.9,)), tmp_path)
    lost = (records["correction"] == "agc") & (records["seed"] == 2)
    records.loc[lost, "status"] = "diverged"
    one = (records["correction"] == "none") & (records["seed"] == 1) & (records["epochs"] == 8)
    records.loc[one, "status"] = "diverged"
    found = budget_ladders(records, draws=DRAWS)
    agc = found[found["correction"] == "agc"]
    assert agc["seeds"].eq(2).all()
    assert agc["ratio"].iloc[0] == pytest.approx(RATIO)
    assert set(agc["budgets_plain"]) == {"4 8 16 32"}


def test_a_pool_is_the_geometric_mean_of_its_rows() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for ratio in (0.4, 0.9):
        steps = np.array([5.0, 10, 20, 40])
        noise = rng.normal(0, 0.2, (2, 5, 4))
        rows.append(
            (
                Rungs(steps, 12 - 1.2 * np.log(steps) + noise[0]),
                Rungs(steps, 12 - 1.2 * np.log(steps / ratio) + noise[1]),
            )
        )
    single = [ladder(*row, draws=200) for row in rows]
    pooled = pooled_ladder(rows, draws=200)
    assert pooled.ratio == pytest.approx(np.sqrt(single[0].ratio * single[1].ratio))
    assert np.isnan(pooled.overlap).all()
    # Twice the same row tells nothing more; two rows tell more than the vaguer of them.
    twice, once = pooled_ladder([rows[0], rows[0]], draws=200), single[0]
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))
    assert pooled.high / pooled.low < max(one.high / one.low for one in single)
    with pytest.raises(ValueError, match="the same ones"):
        pooled_ladder([rows[0], (Rungs([1, 2], [[2.0, 1.0]]), Rungs([1, 2], [[2.0, 1.0]]))])


def test_a_row_out_of_reach_leaves_no_pooled_ratio() -> None:
    near = Rungs([1, 10], [[0.4, 0.2], [0.41, 0.2]])
    far = Rungs([1, 10], [[0.14, 0.1], [0.14, 0.12]])
    assert np.isnan(pooled_ladder([(near, near), (near, far)]).ratio)


def test_budgets_need_no_order(tmp_path: Path) -> None:
    records, _ = collected(ladder_grid(tmp_path / "cells", RATIO, seeds=2, sd=0.004), tmp_path)
    shuffled = records.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(
        budget_ladders(records, draws=DRAWS), budget_ladders(shuffled, draws=DRAWS)
    )
    assert set(BUDGETS) - {"none"} == set(budget_ladders(records, draws=DRAWS)["correction"])


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 10])
def test_simulated_coverage_of_a_pool(seeds: int) -> None:
    """Four rows of unlike curves and spreads, whose seeds are alike in all of them."""
    ratio, covered = 0.8, []
    budgets = np.array([5.0, 10, 20, 40])
    for draw in range(300):
        rng = np.random.default_rng(draw)
        common = rng.normal(0, 0.3, (seeds, 1))
        rows = []
        for slope, sd in ((1.2, 0.3), (1.2, 0.45), (2.0, 0.6), (3.0, 0.9)):
            errors = [
                20 - slope * np.log(budgets / own) + common + rng.normal(0, sd, (seeds, 4))
                for own in (1.0, ratio)
            ]
            rows.append((Rungs(budgets, errors[0]), Rungs(budgets, errors[1])))
        found = pooled_ladder(rows, draws=200)
        covered.append(found.low <= ratio <= found.high)
    print(f"{seeds} seeds: 95 % {np.mean(covered):.4f}")
    assert 0.93 <= np.mean(covered) <= 0.995
