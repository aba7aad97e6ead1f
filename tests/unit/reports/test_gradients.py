"""The table of several cells' moments of gradients."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from agc.errors import UserError
from agc.grids.cell import make_cell
from agc.reports.gradients import FILE, add_cell, read_gradients

MOMENTS = pd.DataFrame({"slug": "x", "epoch": [1, 2], "ratio_used": [0.9, 0.8]})
MOMENTS["correlation"] = [0.5, 0.25]


def cell(seed: int):
    return make_cell(
        {"dataset": "digits", "architecture": "resnet8", "method": "rigl", "sparsity": 0.9}
        | {"correction": {"name": "agc", "options": {"gamma": 0.3}}, "seed": seed}
    )


def test_a_cell_stands_once_and_with_its_latest_numbers(tmp_path: Path) -> None:
    path = tmp_path / FILE
    assert read_gradients(tmp_path) is None
    for seed in (1, 0):
        add_cell(path, cell(seed), MOMENTS)
    add_cell(path, cell(1), MOMENTS.assign(ratio_used=0.5))
    found = read_gradients(tmp_path)
    assert set(found["correction"]) == {"agc(gamma=0.3)"}
    by_seed = found.groupby("seed")["ratio_used"].apply(list).to_dict()
    assert by_seed == {0: [0.9, 0.8], 1: [0.5, 0.5]}
    assert set(found["slug"]) == {cell(0).slug, cell(1).slug}
    assert set(found["sparsity"]) == {0.9}


def test_another_table_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_text("slug,epoch\nx,1\n")
    with pytest.raises(UserError, match="has no column 'method'"):
        add_cell(path, cell(0), MOMENTS)
    assert path.read_text() == "slug,epoch\nx,1\n"
