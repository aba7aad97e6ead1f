"""``agc collect``: what it takes from the grid, and what it says of parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from agc.grids.grid import load_grid
from agc.reports.study import RECORDS, read_study
from tests.support.command_line import agc
from tests.support.finished_cells import finish
from tests.support.precision import write_grid_file

RATES = [{"where": {"correction": "none"}, "lr": 0.1}, {"where": {"correction": "agc"}, "lr": 0.3}]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> Iterator[None]:
    changes = {"methods": ["rigl"], "sparsities": [0.9], "seeds": 2, "precision": None}
    write_grid_file(tmp_path, **changes, learning_rates=RATES)
    with chdir(tmp_path):
        yield


def test_it_knows_that_rates_are_of_arms() -> None:
    finish(load_grid("test.yaml").cells, Path("results/cells"))
    assert agc("collect", "test.yaml").out.startswith("4 records in results/test/records.parquet")
    records, _ = read_study(Path("results/test"))
    assert set(records["family"]) == {""}
    assert set(records["lr"]) == {0.1, 0.3}


def test_parts_are_joined_with_what_is_finished_here() -> None:
    cells = load_grid("test.yaml").cells
    finish(cells[:1], Path("far/cells"), cpu_capability="AVX2")
    finish(cells[1:3], Path("results/cells"), cpu_capability="AVX512")
    for cell in cells[1:]:
        cell.write(Path("far/cells") / cell.slug)
    assert agc("collect", "test.yaml", "--results", "far", "--partial").code == 0
    command = ("collect", "test.yaml", "--merge", "far/test")
    assert "2 of AVX512" in agc(*command).message
    assert not Path("results/test").exists()
    assert agc(*command, "--mixed").out.startswith("3 records, 1 unfinished in results/test")
    assert set(read_study(Path("results/test"))[0]["slug"]) == {cell.slug for cell in cells[:3]}
    once = Path("results/test", RECORDS).read_bytes()
    assert agc(*command, "--merge", "results/test", "--mixed").code == 0
    assert Path("results/test", RECORDS).read_bytes() == once


def test_options_that_mean_nothing_together_are_refused() -> None:
    assert "--mixed is for --merge" in agc("collect", "test.yaml", "--mixed").message
    merge = ("collect", "test.yaml", "--merge", "far")
    assert "leave out --partial" in agc(*merge, "--partial").message
    assert "far/records.parquet does not exist" in agc(*merge).message
