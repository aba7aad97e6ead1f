"""A disk that is full: one clear line, nothing half written, and the rerun completes."""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import count
from pathlib import Path

import pytest

from agc.errors import UserError
from agc.grids.cell import Cell
from agc.machine.device import Machine
from agc.records.record import write_record
from agc.reports.collect import collect
from agc.reports.figures.style import save
from agc.runs.train import CellRun
from tests.conftest import CellMaker
from tests.support.trials import SAME, fill, left_over, record, trained


@pytest.mark.parametrize("share", [0.5, 1.5])
def test_a_checkpoint_that_finds_no_room_leaves_the_one_before(
    cell: Cell, machine: Machine, undisturbed: Path, disk: Path, share: float
) -> None:
    # In shares of a checkpoint: there is no room for the first, or for the second beside it.
    probe = disk.parent / "probe"
    with pytest.raises(KeyError):
        CellRun(cell, probe, machine, 0.0, on_epoch=raise_in_epoch(2)).train()
    size = (probe / "checkpoint.pt").stat().st_size
    folder = disk / cell.slug
    filler = fill(disk, int(share * size))

    with pytest.raises(UserError, match=rf"cannot write {folder}/checkpoint\.pt: "):
        CellRun(cell, folder, machine, 0.0).train()
    assert (folder / "checkpoint.pt").exists() == (share > 1)
    assert not left_over(folder)

    filler.unlink()
    assert CellRun(cell, folder, machine, 0.0).train() == "finished"
    assert ("resumed after epoch 1" in (folder / "train.log").read_text()) == (share > 1)
    assert trained(folder) == trained(undisturbed)


def test_whatever_file_of_a_cell_finds_no_room_is_not_half_there(
    tiny_cell: CellMaker, machine: Machine, disk: Path
) -> None:
    cell = tiny_cell({"epochs": 1}, method={"name": "rigl"}, sparsity=0.9)
    expected = disk.parent / "expected"
    CellRun(cell, expected, machine).train()
    refused = set()
    for pages in count():
        folder, filler = disk / f"{pages}", fill(disk, pages * 4096)
        try:
            assert CellRun(cell, folder, machine).train() == "finished"
        except UserError as error:
            refused.add(re.search(rf"cannot write {folder}/([\w.]+): ", str(error))[1])
        else:
            break
        assert not (folder / "training.json").exists()
        assert not left_over(folder)
        for path in (path for path in map(folder.joinpath, SAME) if path.exists()):
            assert path.read_bytes() == (expected / path.name).read_bytes()
        filler.unlink()
        if pages % 4 == 0:
            assert CellRun(cell, folder, machine).train() == "finished"
            assert trained(folder) == trained(expected)
        shutil.rmtree(folder)
    assert refused >= {"cell.json", "model.safetensors", "epochs.csv", "training.json"}
    assert trained(folder) == trained(expected)


def raise_in_epoch(epoch: int):
    """Ends a training as a kill would, in the midst of this epoch's end."""

    def at(row: dict) -> None:
        if row["epoch"] == epoch:
            raise KeyError(epoch)

    return at


def test_a_record_that_finds_no_room_is_written_by_the_rerun(undisturbed: Path, disk: Path) -> None:
    folder = disk / undisturbed.name
    shutil.copytree(undisturbed, folder)
    (folder / "record.json").unlink()
    filler = fill(disk)
    with pytest.raises(UserError, match=r"cannot write .*record\.json: No space left on device"):
        write_record(folder)
    assert not (folder / "record.json").exists()
    assert not left_over(folder)
    filler.unlink()
    write_record(folder)
    assert record(folder) == record(undisturbed)


def test_tables_that_find_no_room_leave_the_old_ones(undisturbed: Path, disk: Path) -> None:
    out = disk / "digits"
    collect([undisturbed], out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    fill(disk)
    with pytest.raises(UserError, match=r"cannot write .*\.parquet"):
        collect([undisturbed], out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_figure_that_finds_no_room_is_not_there(disk: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot(range(1000))
    filler = fill(disk, leave=4096)
    with pytest.raises(UserError, match=r"cannot write .*curve\.png: No space left on device"):
        save(figure, disk, "curve")
    assert [path.name for path in disk.iterdir()] == ["filler"]
    filler.unlink()
    assert all(path.stat().st_size for path in save(figure, disk, "curve"))


def test_results_on_a_disk_that_takes_no_writing_are_one_clear_line(
    cell: Cell, machine: Machine, undisturbed: Path, disk: Path
) -> None:
    folder = disk / undisturbed.name
    shutil.copytree(undisturbed, folder)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(UserError, match=r"cannot write .*Read-only file system"):
        CellRun(cell, folder, machine).train()
    with pytest.raises(UserError, match=r"cannot write .*Read-only file system"):
        write_record(folder)
    with pytest.raises(UserError, match=r"cannot write .*Read-only file system"):
        collect([folder], disk / "digits")
    # What is there can still be read, and collected elsewhere.
    collect([folder], disk.parent / "digits")
    assert record(folder) == record(undisturbed)
