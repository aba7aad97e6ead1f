"""``agc plan --extend``: from collected records to seeds that the grid has from then on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from agc.commands import extend
from agc.grids.grid import load_grid
from tests.support.command_line import agc
from tests.support.precision import make_records, write_grid_file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A grid of four rows with five seeds, all finished, whatever seeds are added to it later."""
    first = load_grid(str(write_grid_file(tmp_path))).cells
    records = make_records(first)
    monkeypatch.setattr(extend, "read_study", lambda *_: (records, None))
    with chdir(tmp_path):
        yield tmp_path


def joined(text: str) -> str:
    return " ".join(text.split())


def test_without_write_nothing_is_written(folder: Path) -> None:
    shown = agc("plan", "test.yaml", "--extend")
    assert shown.code == 0
    assert shown.out.count("+5 seeds") == 4
    # Four rows of two arms, five seeds each.
    assert "more seeds for 4 rows: 40 cells, " in shown.out
    assert [path.name for path in folder.iterdir()] == ["test.yaml"]


def test_written_seeds_are_cells_of_the_grid_and_are_added_once(folder: Path) -> None:
    before = load_grid("test.yaml").cells
    written = agc("plan", "test.yaml", "--extend", "--write")
    assert "test.seeds.json has them" in joined(written.out)
    content = (folder / "test.seeds.json").read_bytes()
    grid = load_grid("test.yaml")
    assert len(grid.cells) == len(before) + 40
    assert "80 cells, 0 finished" in agc("plan", "test.yaml").out
    again = agc("plan", "test.yaml", "--extend", "--write")
    assert again.code == 0
    assert "4 rows wait for 40 cells" in joined(again.out)
    assert "no row gets more seeds now" in again.out
    assert (folder / "test.seeds.json").read_bytes() == content


def test_the_next_block_comes_when_the_last_is_finished(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for total in (10, 15, 20, 20):
        agc("plan", "test.yaml", "--extend", "--write")
        cells = load_grid("test.yaml").cells
        assert len(cells) == 8 * total
        records = make_records(cells, sd=0.1)
        monkeypatch.setattr(extend, "read_study", lambda *_, found=records: (found, None))
    assert agc("plan", "test.yaml", "--extend").out.count("at the cap") == 4


def test_records_that_are_not_there_are_asked_for(tmp_path: Path) -> None:
    write_grid_file(tmp_path)
    with chdir(tmp_path):
        missing = "records.parquet does not exist"
        message = agc("plan", "test.yaml", "--extend").message
        assert f"results/test/{missing}; `agc collect test.yaml` makes it" in message
        message = agc("plan", "test.yaml", "--extend", "--results", "other").message
        assert f"other/test/{missing}; `agc collect test.yaml --results other`" in message
        assert agc("plan", "test.yaml", "--extend", "--from", "there").message == f"there/{missing}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--extend", "--json"], "leave out --json"),
        (["--from", "there"], "--from goes with --extend and one grid"),
        (["test.yaml", "--extend", "--from", "there"], "--from goes with --extend and one grid"),
    ],
)
def test_options_that_do_not_go_together(folder: Path, options: list[str], message: str) -> None:
    given = agc("plan", "test.yaml", *options)
    assert given.code == 2
    assert message in given.message


def test_a_grid_without_a_rule_or_a_correction_is_told_so(folder: Path) -> None:
    write_grid_file(folder, precision=None)
    assert "it has no rule for more seeds" in agc("plan", "test.yaml", "--extend").message
    write_grid_file(folder, corrections=["none"])
    assert "no row has a correction" in agc("plan", "test.yaml", "--extend").message
