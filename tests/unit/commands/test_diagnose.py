"""``agc diagnose`` from end to end, and its figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from agc.evaluation.diagnostics import PERCENTS
from agc.files import read_json
from agc.grids.cell import Cell
from agc.machine.device import Machine
from agc.reports.figures.diagnostics import (
    HIGHEST,
    WORTH,
    draw_diagnostics,
    write_diagnostic_figure,
)
from agc.runs.train import CellRun
from tests.support.command_line import agc

SPARSE = {"method": {"name": "rigl", "options": {"update_interval": 3}}, "sparsity": 0.9}


def written(cell: Cell, folder: Path) -> Path:
    folder.mkdir()
    cell.write(folder)
    return folder


def test_the_command_writes_a_table_and_a_figure_beside_the_cell(
    tiny_cell: Callable, tmp_path: Path
) -> None:
    cell = tiny_cell(correction="agc", **SPARSE)
    folder = written(cell, tmp_path / "cell")
    before = (folder / "cell.json").read_bytes()
    done = agc("diagnose", folder, "--device", "cpu", "--batches", 3)
    assert done.code == 0, done
    out = folder / "diagnostics"
    assert sorted(path.name for path in out.iterdir()) == [
        f"diagnostics.{suffix}" for suffix in ("csv", "png", "svg")
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["cell.json", "diagnostics"]
    assert (folder / "cell.json").read_bytes() == before
    table = pd.read_csv(out / "diagnostics.csv")
    measured = ["ratio_used", "ratio_one", "ratio_best", "ratio_layer"]
    measured += ["best_coefficient", "correlation", "scale"]
    assert list(table.columns) == [
        *("slug", "epoch", "percent", "step", "steps", "coefficient"),
        *measured,
        *(f"{name}_all" for name in measured),
        *("distance", "pruned_share", "grown_share", "mask_distance", "active_weights"),
    ]
    assert set(table["slug"]) == {cell.slug}
    assert list(table["epoch"]) == [1] * 4 + [2] * 4
    assert list(table["percent"]) == list(PERCENTS) * 2
    assert np.isfinite(table.drop(columns="slug").to_numpy(dtype=float)).all()
    lines = [line.split() for line in done.out.splitlines()]
    shown = [line for line in lines if line[:2] in (["1", "100"], ["2", "100"])]
    assert [float(line[4]) for line in shown] == [
        round(table["ratio_used"][index], 3) for index in (3, 7)
    ]
    # The same numbers by the file's path, for one epoch, elsewhere; the same bytes in each file.
    again = tmp_path / "again"
    done = agc(
        *("diagnose", folder / "cell.json", "--epochs", "1,2", "--out", again),
        *("--device", "cpu", "--batches", 3),
    )
    assert done.code == 0, done
    for path in out.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_a_correction_without_a_coefficient_leaves_its_columns_empty(
    tiny_cell: Callable, tmp_path: Path
) -> None:
    folder = written(tiny_cell(method="dense"), tmp_path / "cell")
    done = agc("diagnose", folder, "--epochs", "1", "--device", "cpu", "--batches", 2)
    assert done.code == 0, done
    table = pd.read_csv(folder / "diagnostics" / "diagnostics.csv")
    empty = {name for name in table if table[name].isna().all()}
    assert empty == {"coefficient", "ratio_used", "ratio_used_all"}
    assert (table["pruned_share"] == 0).all()
    assert (table["ratio_one"] == table["ratio_one_all"]).all()
    assert read_json(folder / "cell.json")["cell"]["correction"]["name"] == "none"


@pytest.mark.parametrize("epochs", ["0", "3", "1,", "one", ""])
def test_epochs_that_are_not_there_are_one_line(
    epochs: str, tiny_cell: Callable, tmp_path: Path
) -> None:
    folder = written(tiny_cell(), tmp_path / "cell")
    message = agc("diagnose", folder, "--epochs", epochs).message
    assert message == f"--epochs {epochs!r}: expected numbers from 1 to 2, with commas"
    assert "nowhere/cell.json does not exist" in agc("diagnose", "nowhere/cell.json").message


def table(*ratios: float, used: float | None = 0.9) -> pd.DataFrame:
    rows = [
        {
            **{"epoch": epoch, "percent": percent, "step": step, "steps": 20},
            **{"ratio_used": used, "ratio_one": one, "ratio_best": 0.4, "ratio_layer": 0.3},
        }
        for epoch in (1, 4)
        for percent, step, one in zip(PERCENTS, (1, 2, 7, 20), ratios, strict=True)
    ]
    return pd.DataFrame(rows)


def test_the_figure_has_a_panel_for_each_epoch_with_both_levels(tmp_path: Path) -> None:
    figure = draw_diagnostics(table(0.1, 0.5, 1.2, 3.4), "a cell")
    assert [axis.get_title() for axis in figure.axes] == ["epoch 1", "epoch 4"]
    first = figure.axes[0]
    levels = [line.get_ydata()[0] for line in first.lines[:2]]
    assert levels == [1.0, WORTH]
    used, one, *_ = first.lines[2:]
    np.testing.assert_allclose(one.get_xdata(), [5, 10, 35, 100])
    np.testing.assert_allclose(one.get_ydata(), [0.1, 0.5, 1.2, 3.4])
    assert to_hex(used.get_color()) != to_hex(one.get_color())
    # What the panel does not reach is told as a number.
    assert first.get_ylim()[1] < 1.2 * HIGHEST
    assert [text.get_text() for text in first.texts] == ["3.4"]

    without = draw_diagnostics(table(0.1, 0.2, 0.3, 0.4, used=None), "a cell")
    assert len(without.axes[0].lines) == 2 + 3
    assert 1 < without.axes[0].get_ylim()[1] < 1.2
    paths = write_diagnostic_figure(table(0.1, 0.2, 0.3, 0.4), "a cell", tmp_path)
    assert [path.name for path in paths] == ["diagnostics.png", "diagnostics.svg"]


def test_measuring_in_training_changes_no_bit_and_survives_a_kill(
    tiny_cell: Callable, machine: Machine, tmp_path: Path
) -> None:
    cell = tiny_cell(method="rigl", sparsity=0.9, correction="agc", training={"epochs": 3})
    CellRun(cell, tmp_path / "plain", machine).train()
    whole = CellRun(cell, tmp_path / "watched", machine, watch=[1, 3])
    whole.train()
    assert {row["epoch"] for row in whole.measured} == {1, 3}

    class Killed(Exception):
        pass

    def kill(row: dict) -> None:
        if row["epoch"] == 3:
            raise Killed

    folder = tmp_path / "killed"
    with pytest.raises(Killed):
        CellRun(cell, folder, machine, checkpoint_interval=0, on_epoch=kill, watch=[1, 3]).train()
    again = CellRun(cell, folder, machine, watch=[1, 3])
    again.train()
    assert again.measured == whole.measured
    for name in ("epochs.csv", "layers.csv", "model.safetensors"):
        expected = (tmp_path / "plain" / name).read_bytes()
        assert (tmp_path / "watched" / name).read_bytes() == expected
        assert (folder / name).read_bytes() == expected
