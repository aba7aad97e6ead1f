"""``agc tune``: which rate is chosen, by what, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path

import pandas as pd
import pytest
import yaml

from agc.grids.cell import Cell
from agc.grids.grid import load_grid
from agc.reports import report
from agc.reports.tables.tuning import tuning_sentence, tuning_table
from agc.reports.tuning import read_tuning
from tests.support.command_line import agc
from tests.support.project import GRID, RECIPE
from tests.support.records import collected, entry, make_epochs, make_record, write_cell

RATES = [0.01, 0.1, 1.0]
ACCURACY = {0.01: 0.7, 0.1: 0.9, 1.0: 0.8}
"""On validation images, by learning rate."""

Measure = Callable[[Cell], float | None]


@pytest.fixture(autouse=True)
def _project(tmp_path: Path) -> Iterator[None]:
    """A folder with one grid of two arms, which is the present one."""
    own = {"objectives": ["standard"], "methods": ["rigl"], "seeds": 2}
    own["tuning"] = {"lr": RATES, "seeds": [100, 101]}
    for kind, name, content in (("recipes", "tiny", RECIPE), ("grids", "mine", GRID | own)):
        folder = tmp_path / "workflows" / kind
        folder.mkdir(parents=True)
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    with chdir(tmp_path):
        yield


def finish(validation: Measure, test: Measure | None = None) -> list[Path]:
    """Make up the record of each tuning cell; an accuracy of None is a run that diverged."""
    folders = []
    for cell in load_grid("mine-tuning").cells:
        value = validation(cell)
        data = cell.model_dump(mode="json")
        record = make_record(data, make_epochs(data), diverged=value is None) | {"slug": cell.slug}
        if value is not None:
            record["results"]["final"]["validation_accuracy"] = value
            record["results"]["final"]["test_accuracy"] = test(cell) if test else 0.5
            record["results"]["best"]["validation_accuracy"] = 1 - value
        folders.append(Path("results") / "cells" / cell.slug)
        folders[-1].mkdir(parents=True)
        (folders[-1] / "record.json").write_text(json.dumps(record))
    return folders


def rate(cell: Cell) -> float:
    return cell.training.optimizer.lr


def tuned() -> tuple[str, pd.DataFrame]:
    """What the command prints, and its table."""
    done = agc("tune", "mine")
    assert done.code == 0, done
    return " ".join(done.out.split()), read_tuning(Path("reports/mine/tuning.csv"))


def chosen(table: pd.DataFrame) -> dict[str, float]:
    """Learning rate by correction."""
    rows = table[table["chosen"]]
    assert sorted(rows["correction"]) == ["agc", "none"]
    return dict(zip(rows["correction"], rows["lr"], strict=True))


def test_final_validation_accuracy_chooses_and_no_other_does() -> None:
    # Test images, and the epoch of the highest validation accuracy, would choose the opposite.
    finish(lambda cell: ACCURACY[rate(cell)], lambda cell: 1 - ACCURACY[rate(cell)])
    out, table = tuned()
    assert chosen(table) == {"none": 0.1, "agc": 0.1}
    assert not [name for name in table if "test" in name]
    assert not table["at_edge"].any()
    assert "add " not in out


def test_each_arm_has_its_own_choice_by_the_mean_over_seeds() -> None:
    def accuracy(cell: Cell) -> float:
        if cell.correction.name == "none":
            return ACCURACY[rate(cell)]
        # The one with the highest single run has not the highest mean.
        by_seed = {0.01: (0.6, 0.6), 0.1: (0.99, 0.1), 1.0: (0.7, 0.8)}
        return by_seed[rate(cell)][cell.seed - 100]

    finish(accuracy)
    out, table = tuned()
    assert chosen(table) == {"none": 0.1, "agc": 1.0}
    row = table[(table["correction"] == "agc") & table["chosen"]].iloc[0]
    assert row["validation_accuracy_mean"] == pytest.approx(0.75)
    assert row["validation_accuracy_sd"] == pytest.approx(0.05 * 2**0.5)
    assert row["seeds"] == "100 101"
    # At the upper end: the list's own ratio goes on, for all arms.
    assert row["at_edge"]
    assert "at an edge of the list: 1 of rigl 90 % agc" in out
    assert "add 10 to tuning.lr" in out
    assert "grid=mine-tuning" in out


def test_of_equal_means_the_smaller_rate_is_chosen() -> None:
    # Of the last two the sums differ in their last bit, by rounding.
    values = {0.01: (0.1, 0.1), 0.1: (0.3, 0.0), 1.0: (0.1, 0.2)}
    assert sum(values[0.1]) < sum(values[1.0])
    finish(lambda cell: values[rate(cell)][cell.seed - 100])
    assert chosen(tuned()[1]) == {"none": 0.1, "agc": 0.1}


def test_a_rate_that_diverges_is_not_chosen_for_its_other_seed() -> None:
    def accuracy(cell: Cell) -> float | None:
        return {0.01: 0.6, 0.1: 0.5, 1.0: 0.99 if cell.seed == 100 else None}[rate(cell)]

    finish(accuracy)
    out, table = tuned()
    assert chosen(table) == {"none": 0.01, "agc": 0.01}
    assert table[table["lr"] == 1.0]["diverged"].tolist() == [1, 1]
    assert "(1 diverged)" in out
    assert "add 0.001 to tuning.lr" in out


def test_runs_that_are_missing_are_counted_with_the_command_that_makes_them() -> None:
    folders = finish(lambda cell: 0.5)
    for folder in folders[3:5]:
        (folder / "record.json").unlink()
    message = agc("tune", "mine").message
    assert f"2 of {len(folders)} tuning cells" in message
    assert folders[3].name in message
    assert "snakemake --cores 2 --config grid=mine-tuning" in message
    assert not Path("reports").exists()


def test_a_grid_that_tunes_nothing_or_whose_name_is_taken_is_refused() -> None:
    grid = Path("workflows/grids/mine.yaml")
    plain = yaml.safe_load(grid.read_text())
    del plain["tuning"]
    Path("workflows/grids/mine-tuning.yaml").write_text(yaml.safe_dump(plain))
    assert "mine-tuning.yaml has the name of the tuning runs" in agc("tune", "mine").message
    assert "has no key 'tuning'" in agc("tune", "mine-tuning").message


def test_the_choice_reaches_the_grid_and_its_list() -> None:
    finish(lambda cell: ACCURACY[rate(cell)] * (1 if cell.correction.name == "none" else 0.5))
    tuned()
    grid = Path("workflows/grids/mine.yaml")
    content = yaml.safe_load(grid.read_text())
    content["learning_rates"] = "../../reports/mine/tuning.csv"
    grid.write_text(yaml.safe_dump(content))
    assert {rate(cell) for cell in load_grid("mine").cells} == {0.1}
    lines = [line for line in agc("list", "grids").out.splitlines() if "mine" in line]
    listed = [[part.strip() for part in line.split("│")[:2]] for line in lines]
    assert listed == [["mine", "4"], ["mine-tuning", "12"]]


def test_the_report_says_how_rates_were_chosen_and_keeps_the_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report, "write_figures", lambda *_: [])
    finish(lambda cell: ACCURACY[rate(cell)])
    _, table = tuned()
    cells = [
        write_cell(Path("made"), correction=entry(name), seed=seed)
        for name in ("none", "agc")
        for seed in (0, 1)
    ]
    records, epochs = collected(cells, Path("study"))
    out, source = Path("out"), Path("reports/mine/tuning.csv")
    report.write_report(records, epochs, out, "mine", learning_rates=source)
    assert (out / report.TUNING).read_bytes() == source.read_bytes()
    page = (out / "README.md").read_text()
    assert tuning_sentence(table) in page
    assert all(f"| {row[-1]} |" in page for row in tuning_table(table).rows)
    report.write_report(records, epochs, Path("without"), "mine")
    assert "learning rate" not in (Path("without") / "README.md").read_text()
