"""Quantised runs in pictures and a table: accuracy by bit-weighted FLOPs, stages of precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from agc.reports.figures.bit_flops import draw_bit_flops
from agc.reports.figures.stages import FLOOR, draw_stages
from agc.reports.figures.style import style
from agc.reports.tables.stages import stage_tables
from tests.support.figure_problems import assert_all_on_the_canvas
from tests.support.records import collected, write_cell

ARMS = {
    "none": (None, 0.98),
    "static(backward=4, forward=4)": (0.2, 0.95),
    "metagrad(bits=4, form=gain)": (0.9, 0.96),
    "pfq": (0.1, 0.90),
    "pfq(detector=falling)": (0.3, 0.97),
}
EPOCHS = 4


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Two seeds of each arm at two sparsities; dense training has 100 FLOPs."""
    root = tmp_path_factory.mktemp("cell")
    (cell,) = collected([write_cell(root / "cells")], root)[0].to_dict("records")
    rows = []
    for label, (share, accuracy) in ARMS.items():
        for sparsity in (0.5, 0.9):
            for seed in range(2):
                own = {"quantization": label, "quantization_in_full": label, "seed": seed}
                own |= {"slug": f"{label} {sparsity} {seed}", "sparsity": sparsity}
                own |= {"bit_flops": share and 100 * share, "status": "finished"}
                own |= {"training_flops": 50.0, "dense_training_flops": 100.0}
                rows.append(cell | own | {"final_test_accuracy": accuracy + 0.001 * seed})
    return pd.DataFrame(rows)


def course(records: pd.DataFrame) -> pd.DataFrame:
    """The published rule sees scatter of twice its threshold; the other one's loss rises."""
    rows: list[dict[str, Any]] = []
    for slug in records["slug"]:
        for epoch in range(1, EPOCHS + 1):
            row = {"slug": slug, "epoch": epoch, "train_loss": 1 / epoch, "forward_bits": 3.0}
            told = slug.startswith("pfq") and epoch > 1
            row |= {"loss_threshold": 0.05 if told else np.nan}
            row |= {"loss_scatter": 0.1 + 0.001 * (" 1" in slug) if told else np.nan}
            rows.append(row | {"loss_fall": -0.02 if told else np.nan})
    return pd.DataFrame(rows)


def test_a_point_is_an_arm_s_share_of_dense_float32(records: pd.DataFrame) -> None:
    with style():
        (figure,) = draw_bit_flops(records)
    assert_all_on_the_canvas(figure)
    assert [axis.get_title() for axis in figure.axes] == ["50 %", "90 %"]
    for axis in figure.axes:
        points = sorted((line.get_xdata()[0], line.get_ydata()[0]) for line in axis.lines)
        expected = sorted((share or 0.5, 100 * a + 0.05) for share, a in ARMS.values())
        np.testing.assert_allclose(points, expected)
        assert {text.get_text() for text in axis.texts} == {"", "4"}
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [
        "metagrad (re-implementation from the abstract)",
        *("none", "pfq", "static", "defaults", "detector=falling", "form=gain"),
    ]


def test_stages_show_what_their_rules_saw(records: pd.DataFrame) -> None:
    with style():
        (figure,) = draw_stages(records, course(records))
    assert_all_on_the_canvas(figure)
    loss, _, bits, _, scatter, _, fall, _ = figure.axes
    assert loss.get_title() == "50 %"
    assert len(loss.lines) == 2, "arms without stages are in the other figure"
    np.testing.assert_allclose(loss.lines[0].get_ydata(), 1 / np.arange(1, EPOCHS + 1))
    np.testing.assert_allclose(bits.lines[0].get_ydata(), 3)
    np.testing.assert_allclose(scatter.lines[0].get_xdata(), [2, 3, 4])
    np.testing.assert_allclose(scatter.lines[0].get_ydata(), 2.01)
    np.testing.assert_allclose(fall.lines[0].get_ydata(), FLOOR)


def test_the_table_tells_what_each_rule_would_have_said(records: pd.DataFrame) -> None:
    epochs = course(records)
    sparse = epochs["slug"].str.contains("pfq 0.9") & (epochs["epoch"] == EPOCHS)
    epochs.loc[sparse, "loss_scatter"] = 0.05
    ((_, table),) = stage_tables(records, epochs)
    assert table.header[0] == "method"
    by_row = {tuple(row[-7:-5]): row[-5:] for row in table.rows}
    method = table.rows[0][0].partition(" ")[0]
    assert by_row == {
        (f"{method} 50 %", "pfq"): ["6", "0", "100", "100", "3"],
        (f"{method} 50 %", "pfq(detector=falling)"): ["6", "0", "100", "100", "3"],
        (f"{method} 90 %", "pfq"): ["6", "33", "100", "67", "3"],
        (f"{method} 90 %", "pfq(detector=falling)"): ["6", "0", "100", "100", "3"],
    }
    said = "scatter alone kept it waiting in 100 % of 6 epochs at 50 %, 67 % of 6 epochs at 90 %."
    assert said in table.caption


def test_without_quantised_runs_there_is_none(records: pd.DataFrame) -> None:
    plain = records[records["quantization"] == "none"]
    assert draw_bit_flops(plain) == []
    assert draw_stages(plain, course(plain)) == []
    assert stage_tables(plain, course(plain)) == []
    assert draw_bit_flops(plain.drop(columns="quantization")) == []
    assert draw_stages(plain, pd.DataFrame()) == []
