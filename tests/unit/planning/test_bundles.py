from __future__ import annotations

import math
import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from agc.grids.cell import Cell, make_cell
from agc.planning.bundles import bundle
from agc.planning.declared import units
from tests.conftest import CellMaker


@st.composite
def grids(draw: st.DrawFn) -> list[Cell]:
    """Different cells of very different cost."""
    chosen = draw(
        st.lists(
            st.tuples(
                st.integers(1, 60), st.sampled_from([0, 1, 10]), st.sampled_from(["none", "agc"])
            ),
            min_size=1,
            max_size=30,
        )
    )
    return [
        make_cell(
            {
                "dataset": "digits",
                "architecture": "resnet8",
                "objective": {"name": "pgd-at", "options": {"steps": steps}}
                if steps
                else "standard",
                "correction": correction,
                "seed": seed,
                "training": {"epochs": epochs},
            }
        )
        for seed, (epochs, steps, correction) in enumerate(chosen)
    ]


@given(cells=grids(), size=st.integers(1, 12))
def test_bundles_are_a_partition_of_about_equal_cost(cells: list[Cell], size: int) -> None:
    bundles = bundle(cells, size)
    assert len(bundles) == math.ceil(len(cells) / size)
    assert all(bundles)
    assert Counter(cell.slug for part in bundles for cell in part) == Counter(c.slug for c in cells)
    loads = [sum(units(cell) for cell in part) for part in bundles]
    costs = [units(cell) for cell in cells]
    # Graham's bound for the longest job first, against a lower bound of the best possible.
    best = max(*costs, sum(costs) / len(bundles), 0)
    assert max(loads) - min(loads) <= max(costs)
    assert max(loads) <= sum(costs) / len(bundles) + max(costs) * (1 - 1 / len(bundles)) + 1e-9
    assert max(loads) <= 2 * best


@given(cells=grids(), size=st.integers(1, 12), shuffle=st.randoms(use_true_random=False))
def test_bundles_do_not_depend_on_the_order_of_the_cells(
    cells: list[Cell], size: int, shuffle: random.Random
) -> None:
    expected = [[cell.slug for cell in part] for part in bundle(cells, size)]
    shuffle.shuffle(cells)
    assert [[cell.slug for cell in part] for part in bundle(cells, size)] == expected


def test_cells_of_equal_cost_are_dealt_out_evenly(tiny_cell: CellMaker) -> None:
    parts = bundle([tiny_cell(seed=seed) for seed in range(84)], 21)
    assert [len(part) for part in parts] == [21, 21, 21, 21]
    assert bundle([], 3) == []


def test_no_cell_is_in_a_bundle_with_one_that_it_starts_from(tiny_cell: CellMaker) -> None:
    content = {k: v for k, v in tiny_cell().model_dump(mode="json").items() if k != "seed"}
    first = [tiny_cell(seed=seed) for seed in range(3)]
    second = [tiny_cell(seed=seed, training={"start": {"cell": content}}) for seed in range(3)]
    assert all(cell.source in first for cell in second)
    parts = bundle([*second, *first], 6)
    assert [{cell.slug for cell in part} for part in parts] == [
        {cell.slug for cell in first},
        {cell.slug for cell in second},
    ]
