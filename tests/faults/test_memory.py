"""A cell that runs out of memory: noted in its folder, shown in the tables, completed later."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pandas as pd
import pytest

from agc.errors import UserError
from agc.grids.cell import Cell
from agc.machine.device import Machine
from agc.reports.collect import collect
from agc.reports.compare import Comparison, compare
from agc.reports.figures.write import write_figures
from agc.reports.sources import summarize_provenance
from agc.reports.tables.html import write_page
from agc.reports.tables.write import load_comparison, write_tables
from agc.runs import evaluate as evaluation
from agc.runs.evaluate import evaluate_cell
from agc.runs.train import CellRun
from tests.conftest import CellMaker
from tests.support.trials import record, trained

MEGABYTE = 1 << 20
SAID = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 7 bytes."


def full_in_epoch(epoch: int) -> Callable[[dict], None]:
    """Uses up the memory at this epoch's end."""

    def at(row: dict) -> None:
        if row["epoch"] == epoch:
            raise RuntimeError(f"{SAID}\nand a second line")

    return at


def failure(folder: Path) -> dict:
    return json.loads((folder / "failure.json").read_text(encoding="utf-8"))


def test_the_next_attempt_goes_on_from_the_checkpoint_and_gives_the_same_bits(
    cell: Cell, machine: Machine, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / cell.slug
    with pytest.raises(UserError, match=r"out of memory \(DefaultCPU.*7 bytes\.\); it goes on"):
        CellRun(cell, folder, machine, 0.0, on_epoch=full_in_epoch(3)).train()
    found = failure(folder)
    assert found.pop("when")
    assert found == {
        "schema": 1,
        "slug": cell.slug,
        "status": "out of memory",
        "stage": "training",
        "epochs": 3,
        "message": SAID,
    }
    assert "out of memory: " in (folder / "train.log").read_text(encoding="utf-8")
    assert (folder / "checkpoint.pt").exists()
    assert CellRun(cell, folder, machine, 0.0).train() == "finished"
    assert "resumed after epoch 2\n" in (folder / "train.log").read_text(encoding="utf-8")
    assert not (folder / "failure.json").exists()
    assert trained(folder) == trained(undisturbed)


def test_an_evaluation_out_of_memory_leaves_the_trained_cell(
    machine: Machine, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(undisturbed, tmp_path / undisturbed.name))
    for name in ("robustness.json", "record.json"):
        (folder / name).unlink()

    def full(*given: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "evaluate_robust", full)
        with pytest.raises(UserError, match=r"out of memory \(MemoryError\)"):
            evaluate_cell(folder, machine)
    assert failure(folder)["stage"] == "evaluation"
    with pytest.raises(UserError, match=r"out of memory in evaluation after 4 epochs: MemoryErr"):
        collect([folder], tmp_path / "out")
    assert evaluate_cell(folder, machine) == "evaluated"
    assert not (folder / "failure.json").exists()
    assert trained(folder) == trained(undisturbed)
    assert record(folder) == record(undisturbed)


@pytest.fixture(scope="module")
def grid(
    tiny_cell: CellMaker, machine: Machine, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Plain and corrected cells of three seeds: one out of memory, one not begun."""
    root, folders = tmp_path_factory.mktemp("grid"), []
    for correction in ("none", "agc"):
        for seed in range(3):
            cell = tiny_cell(correction=correction, seed=seed, method="static", sparsity=0.5)
            folders.append(root / cell.slug)
            cell.write(folders[-1])
            if (correction, seed) == ("agc", 1):
                with pytest.raises(UserError, match="out of memory"):
                    CellRun(cell, folders[-1], machine, on_epoch=full_in_epoch(2)).train()
            elif (correction, seed) != ("agc", 2):
                CellRun(cell, folders[-1], machine).train()
                evaluate_cell(folders[-1], machine)
    return folders


def tables(folders: list[Path], out: Path) -> tuple[pd.DataFrame, pd.DataFrame, Comparison]:
    collect(folders, out, partial=True)
    records, epochs = (pd.read_parquet(out / f"{name}.parquet") for name in ("records", "epochs"))
    return records, epochs, compare(records, epochs)


def test_an_incomplete_grid_is_refused_with_the_reason(grid: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        collect(grid, tmp_path)
    said = str(caught.value)
    assert f"{grid[4].name}: out of memory in training after 2 epochs: {SAID}; run it again" in said
    assert "--partial (and 1 more cells" in said
    with pytest.raises(UserError, match="none of 2 cells has a result"):
        collect(grid[4:], tmp_path, partial=True)
    assert not list(tmp_path.iterdir())


def test_a_partial_collection_says_of_each_cell_what_became_of_it(
    grid: list[Path], tmp_path: Path
) -> None:
    records, epochs, comparison = tables(grid, tmp_path)
    status = records.set_index("slug")["status"]
    assert [status[folder.name] for folder in grid] == [
        *["finished"] * 4,
        "out of memory",
        "unfinished",
    ]
    assert set(epochs["slug"]) == {folder.name for folder in grid[:4]}
    (row,) = comparison.main.itertuples()
    assert (row.plain_seeds, row.corrected_seeds) == (3, 3)
    assert (row.plain_out_of_memory, row.corrected_out_of_memory) == (0, 1)
    assert row.corrected_unfinished == 1
    assert (row.plain_final_accuracy_n, row.corrected_final_accuracy_n) == (3, 1)
    assert row.accuracy_difference_n == 1
    # What has a result has the same numbers as without the others.
    alone = tmp_path / "alone"
    collect(grid[:4], alone)
    expected = pd.read_parquet(alone / "records.parquet")
    finished = records[records["status"] == "finished"]
    pd.testing.assert_frame_equal(finished.reset_index(drop=True), expected, check_dtype=False)


def test_tables_page_and_figures_show_it_until_the_cell_is_done(
    grid: list[Path], tmp_path: Path
) -> None:
    records, epochs, comparison = tables(grid, tmp_path)
    write_tables(comparison, tmp_path, summarize_provenance(records))
    write_page(tmp_path)
    write_figures(records, epochs, tmp_path, comparison.pooled)
    missing = (tmp_path / "tables" / "missing.md").read_text(encoding="utf-8")
    assert f"| {grid[4].name} | out of memory | out of memory in training after 2 ep" in missing
    assert f"| {grid[5].name} | unfinished | – |" in missing
    text = (tmp_path / "tables" / "comparison.md").read_text(encoding="utf-8")
    assert "From 6 cells, 2 of them without a result;" in text
    assert "(n=1 of 3)" in text
    assert "1 of 3" in (tmp_path / "tables" / "cost.md").read_text(encoding="utf-8")
    page = (tmp_path / "tables" / "comparison.html").read_text(encoding="utf-8")
    assert f'<td style="text-align:left">{grid[4].name}</td>' in page
    assert "out of memory" in page
    (row,) = load_comparison(tmp_path).main.itertuples()
    assert row.corrected_out_of_memory == 1

    finished = records[records["status"] == "finished"]
    write_tables(compare(finished, epochs), tmp_path, summarize_provenance(finished))
    assert not list(tmp_path.glob("tables/missing.*"))
    assert "memory" not in (tmp_path / "comparison.csv").read_text(encoding="utf-8")
    assert "memory" not in (tmp_path / "tables" / "comparison.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ["", "{}", '{"schema": 9}', '{"schema": 1, "slug": "other"}'])
def test_a_damaged_note_of_a_failure_is_named(
    grid: list[Path], tmp_path: Path, content: str
) -> None:
    folder = Path(shutil.copytree(grid[4], tmp_path / grid[4].name))
    (folder / "failure.json").write_text(content, encoding="utf-8")
    for partial in (False, True):
        with pytest.raises(UserError, match=r"failure\.json"):
            collect([*grid[:4], folder], tmp_path / "out", partial)


def test_the_mirror_waits_for_a_cell_without_a_result(grid: list[Path], tmp_path: Path) -> None:
    from agc.tracking.mirror import sync
    from agc.tracking.store import open_client

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    report = sync("grid", grid, uri, tmp_path / "artifacts")
    assert (report.added, report.waiting, report.problems) == (4, 2, ())
    client = open_client(uri)
    (experiment,) = client.search_experiments(filter_string="name = 'grid'")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.data.tags["agc.cell"] for run in runs} == {folder.name for folder in grid[:4]}


@pytest.mark.slow
def test_a_cell_that_needs_too_much_memory_fails_alone_and_goes_on_with_more(
    tiny_cell: CellMaker,
    agc: Callable[..., ForkServerProcess],
    machine: Machine,
    tmp_path: Path,
) -> None:
    # 17 million weights, but few operations.
    options = {"hidden": [4096, 4096], "img_size": 8}
    wide = tiny_cell(architecture={"name": "mlp_cifar10", "options": options})
    cells = [wide, tiny_cell()]
    folders = [tmp_path / cell.slug for cell in cells]
    for cell, folder in zip(cells, folders, strict=True):
        cell.write(folder)
    CellRun(wide, tmp_path / "peace" / wide.slug, machine).train()

    def kill(row: dict) -> None:
        if row["epoch"] == 2:
            raise KeyError

    with pytest.raises(KeyError):  # there is a checkpoint of the first epoch
        CellRun(wide, folders[0], machine, 0.0, on_epoch=kill).train()
    process = agc("train", *folders, memory=200 * MEGABYTE)
    process.join(240)
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert process.exitcode == 2, said
    assert f"agc: error: {wide.slug}: out of memory (" in said
    assert "Traceback" not in said
    assert "agc: 1 of 2 cells failed" in said
    assert "out of memory: " in (folders[0] / "train.log").read_text(encoding="utf-8")
    assert not (folders[0] / "training.json").exists()
    assert failure(folders[0])["stage"] == "training"
    assert (folders[1] / "training.json").exists()

    again = agc("train", *folders)
    again.join(240)
    assert again.exitcode == 0
    assert "resumed after epoch 1\n" in (folders[0] / "train.log").read_text(encoding="utf-8")
    assert trained(folders[0]) == trained(tmp_path / "peace" / wide.slug)
    assert not (folders[0] / "failure.json").exists()
