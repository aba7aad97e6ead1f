"""Cells that cannot succeed: divergence and too little memory; the others go on."""

from __future__ import annotations

import errno
from pathlib import Path

import pandas as pd
import pytest

from agc.machine.device import Machine
from agc.machine.memory import is_out_of_memory
from agc.reports.collect import collect
from agc.reports.compare import compare
from agc.reports.tables.formatting import divergence
from agc.runs.evaluate import evaluate_cell
from agc.runs.train import CellRun
from tests.conftest import CellMaker


def test_an_absurd_learning_rate_is_recorded_and_counted_in_the_tables(
    tiny_cell: CellMaker, machine: Machine, tmp_path: Path
) -> None:
    rate = {"optimizer": {"lr": 1e30}}
    cells = [tiny_cell(rate, correction=name) for name in ("none", "agc")]
    folders = [tmp_path / cell.slug for cell in cells]
    for cell, folder in zip(cells, folders, strict=True):
        assert CellRun(cell, folder, machine).train() == "diverged"
        assert evaluate_cell(folder, machine) == "evaluated"
        assert CellRun(cell, folder, machine).train() == "skipped"
    collect(folders, tmp_path / "out")
    records, epochs = (
        pd.read_parquet(tmp_path / "out" / f"{name}.parquet") for name in ("records", "epochs")
    )
    assert list(records["status"]) == ["diverged", "diverged"]
    (row,) = compare(records, epochs).main.itertuples()
    assert divergence(row, "plain") == divergence(row, "corrected") == "1 of 1"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ..."), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("std::bad_alloc"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.ENOSPC, "out of memory"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_only_a_lack_of_memory_is_called_so(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected
