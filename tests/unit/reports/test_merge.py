"""Parts of a grid joined: the bytes of one results folder, and no cell that does not belong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agc.errors import UserError
from agc.grids.cell import Cell
from agc.grids.grid import Grid, load_grid
from agc.records.failure import OUT_OF_MEMORY, UNFINISHED, write_failure
from agc.reports.collect import collect
from agc.reports.merge import merge
from agc.reports.study import EPOCHS, RECORDS, publish_study, read_study
from tests.support.finished_cells import finish
from tests.support.precision import write_grid_file

CHANGES = {"methods": ["rigl"], "sparsities": [0.9], "seeds": 3, "precision": None}
CHANGES |= {"corrections": ["none", "agc", {"name": "agc", "gamma": 1.0}]}
SLOW = {"dataset": "digits", "architecture": "resnet8", "method": "set", "sparsity": 0.9}
SLOW |= {"correction": "none", "seed": [0, 1], "training": {"epochs": 24}}
SLOW |= {"optimizer": "lookahead"}


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    """Its parts have other labels than it has: options, recipes and a later axis."""
    return load_grid(str(write_grid_file(tmp_path, **CHANGES, include=[SLOW])))


def split(grid: Grid, *belongs: Callable[[Cell], bool]) -> list[list[Cell]]:
    """Cells of each part: those that it claims, and are of none before."""
    left, parts = list(grid.cells), []
    for own in belongs:
        parts.append([cell for cell in left if own(cell)])
        left = [cell for cell in left if not own(cell)]
    return [*parts, left]


def is_strong(cell: Cell) -> bool:
    return cell.correction.options.get("gamma") == 1.0


def tables(folder: Path) -> tuple[bytes, bytes]:
    return (folder / RECORDS).read_bytes(), (folder / EPOCHS).read_bytes()


def joined(grid: Grid, out: Path, *parts: Path, results: Path = Path("none"), **more: Any) -> Any:
    found = merge(grid.cells, parts, results, out, rates_by_arm=grid.rates_by_arm, **more)
    return found, *read_study(out)


@pytest.mark.parametrize("here", [True, False])
def test_parts_are_to_the_byte_what_one_folder_gives(
    grid: Grid, tmp_path: Path, here: bool
) -> None:
    whole, parts = tmp_path / "whole", [tmp_path / "a", tmp_path / "b"]
    collect(finish(grid.cells, whole / "cells"), whole)
    for cells, part in zip(split(grid, is_strong), parts, strict=True):
        assert 0 < len(cells) < len(grid.cells)
        collect(finish(cells, part / "cells"), part)
    labels = [set(read_study(folder)[0]["correction"]) for folder in (*parts, whole)]
    assert labels == [{"agc"}, {"none", "agc"}, {"none", "agc", "agc(gamma=1.0)"}]
    columns = [set(read_study(folder)[0]) for folder in parts]
    assert columns[0] - columns[1] == {"final_correct", "test_images"}
    assert columns[1] - columns[0] == {"optimizer"}

    merged = parts[:1] if here else parts
    statuses, _, _ = joined(grid, tmp_path / "out", *merged, results=parts[1] / "cells")
    assert tables(tmp_path / "out") == tables(whole)
    assert sorted(set(statuses)) == ["diverged", "finished"]
    # Into the folder of a part, and in the other order, it is the same.
    joined(grid, parts[0], *reversed(parts))
    assert tables(parts[0]) == tables(whole)


def test_published_parts_make_what_is_published_of_the_whole(grid: Grid, tmp_path: Path) -> None:
    collect(finish(grid.cells, tmp_path / "cells"), tmp_path / "whole")
    publish_study(*read_study(tmp_path / "whole"), tmp_path / "public")
    parts = []
    for number, cells in enumerate(split(grid, is_strong)):
        part = tmp_path / str(number)
        collect([tmp_path / "cells" / cell.slug for cell in cells], part)
        publish_study(*read_study(part), part)
        parts.append(part)
    joined(grid, tmp_path / "out", *parts)
    assert tables(tmp_path / "out") == tables(tmp_path / "public")


def test_rates_of_arms_are_in_the_joined_table(tmp_path: Path) -> None:
    rates = [{"where": {"correction": "none"}, "lr": 0.1}, {"where": {"method": "rigl"}, "lr": 0.3}]
    grid = load_grid(str(write_grid_file(tmp_path, **CHANGES, learning_rates=rates)))
    collect(finish(grid.cells, tmp_path / "a"), tmp_path / "whole", False, grid.rates_by_arm)
    strong, _ = split(grid, is_strong)
    # A part that was collected before the rates were known as such.
    collect([tmp_path / "a" / cell.slug for cell in strong], tmp_path / "part")
    for cell in strong:
        shutil.rmtree(tmp_path / "a" / cell.slug)
    joined(grid, tmp_path / "out", tmp_path / "part", results=tmp_path / "a")
    assert tables(tmp_path / "out") == tables(tmp_path / "whole")
    assert "lr" in read_study(tmp_path / "out")[0]


def test_what_is_missing_is_counted_and_in_no_table(grid: Grid, tmp_path: Path) -> None:
    strong, _ = split(grid, is_strong)
    part, cells = tmp_path / "part", tmp_path / "cells"
    finish(strong[:2], cells)
    write_cell_json(strong[2], cells)
    write_failure(cells / strong[2].slug, strong[2].slug, "training", 1, "no room")
    collect([cells / cell.slug for cell in strong], part, partial=True)
    assert read_study(part)[0]["epochs"].dtype == float
    statuses, records, epochs = joined(grid, tmp_path / "out", part)
    assert statuses.count("finished") == 2
    assert statuses.count(OUT_OF_MEMORY) == 1
    assert statuses.count(UNFINISHED) == len(grid.cells) - 3
    assert set(records["slug"]) == set(epochs["slug"]) == {cell.slug for cell in strong[:2]}
    # Nothing but the two is in what is written.
    collect([cells / cell.slug for cell in strong[:2]], tmp_path / "two")
    assert tables(tmp_path / "out") == tables(tmp_path / "two")
    with pytest.raises(UserError, match="has a result"):
        merge(grid.cells[:1], [], tmp_path / "nowhere", tmp_path / "none")


def write_cell_json(cell: Cell, cells: Path) -> None:
    (cells / cell.slug).mkdir()
    cell.write(cells / cell.slug)


def test_a_cell_of_another_grid_is_named(grid: Grid, tmp_path: Path) -> None:
    collect(finish(grid.cells, tmp_path / "cells"), tmp_path / "part")
    strong, others = split(grid, is_strong)
    first = min(cell.slug for cell in strong)
    with pytest.raises(UserError, match=f"part: {first} is no cell of this grid"):
        merge(others, [tmp_path / "part"], tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("column", ["final_test_accuracy", "units", "test_loss", "status"])
def test_a_cell_that_is_there_twice_must_have_the_same_results(
    grid: Grid, tmp_path: Path, column: str
) -> None:
    part, other = tmp_path / "part", tmp_path / "other"
    finish(grid.cells, tmp_path / "cells", hostname="elsewhere")
    folders = finish(grid.cells, tmp_path / "again", finished="later")
    collect(folders, other)
    collect([tmp_path / "cells" / folder.name for folder in folders], part)
    _, records, _ = joined(grid, tmp_path / "out", part, other, results=tmp_path / "again")
    assert tables(tmp_path / "out") == tables(part)
    assert set(records["provenance_hostname"]) == {"elsewhere"}

    records, epochs = read_study(other)
    table = records if column in records else epochs
    slug = records.loc[records["status"] == "finished", "slug"].iloc[-1]
    row = table.index[table["slug"] == slug][-1]
    table.loc[row, column] = "diverged" if column == "status" else np.nextafter(0.5, 1)
    records.to_parquet(other / RECORDS)
    epochs.to_parquet(other / EPOCHS)
    with pytest.raises(UserError, match=f"{slug}: {column} in .*part is not that in .*other"):
        joined(grid, tmp_path / "none", part, other)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("one", "other", "names"),
    [
        ({"cpu_capability": "AVX2"}, {"cpu_capability": "AVX512"}, ["AVX2", "AVX512"]),
        (
            {"cpu_capability": "AVX2"},
            {"cpu_capability": "AVX2", "device": "cuda:0", "card": {"name": "a card"}},
            ["AVX2", "a card"],
        ),
    ],
)
def test_other_draws_are_refused_unless_they_are_asked_for(
    grid: Grid, tmp_path: Path, one: dict[str, Any], other: dict[str, Any], names: list[str]
) -> None:
    strong, others = split(grid, is_strong)
    collect(finish(strong, tmp_path / "cells" / "a", **one), tmp_path / "a")
    finish(others, tmp_path / "cells" / "b", **other)
    here = {"results": tmp_path / "cells" / "b"}
    with pytest.raises(UserError) as caught:
        joined(grid, tmp_path / "out", tmp_path / "a", **here)
    counted = f"here are {len(strong)} of {names[0]} and {len(others)} of {names[1]}: "
    assert counted in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert len(joined(grid, tmp_path / "out", tmp_path / "a", mixed=True, **here)[1]) == len(
        grid.cells
    )
