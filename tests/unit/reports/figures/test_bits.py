from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agc.reports.figures.bits import APART, draw_bits
from agc.reports.figures.style import style
from tests.support.figure_problems import assert_all_on_the_canvas
from tests.support.records import collected, write_cell

ARMS = {
    "all-reduce": (200.0, 0.97),
    "ef(compressor=top-k)": (30.0, 0.95),
    "saef(compressor=top-k)": (30.0, 0.96),
    "saef(compressor=top-k, two_way=true)": (3.0, 0.94),
}


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("cell")
    records, _ = collected([write_cell(root / "cells")], root)
    return records.iloc[0].to_dict()


def runs(cell: dict[str, Any], **changes: Any) -> pd.DataFrame:
    """Three seeds of each arm, at two sparsities; large batches have one amount of traffic."""
    rows = []
    for label, (megabits, accuracy) in ARMS.items():
        for sparsity in (0.0, 0.9):
            for seed in range(3):
                own = {"communication": label, "communication_in_full": label, "seed": seed}
                own |= {"bits_up": 0.4e6 * megabits, "bits_down": 0.6e6 * megabits}
                own |= {"final_test_accuracy": accuracy + 0.001 * seed, "sparsity": sparsity}
                rows.append(cell | own | {"status": "finished"} | changes)
    large = [{**row, "recipe": "batch_size=640", "bits_up": 1e6, "bits_down": 1e6} for row in rows]
    return pd.DataFrame(rows + large)


def aside(label: str) -> float:
    """Entries with as many bits stand beside each other."""
    return APART ** (sorted(["all-reduce", "ef", "saef"]).index(label.partition("(")[0]) - 1)


def test_a_point_is_an_arm_s_mean_at_what_it_sent_and_got(cell: dict[str, Any]) -> None:
    with style():
        (figure,) = draw_bits(runs(cell))
    assert_all_on_the_canvas(figure)
    shown = [axis for axis in figure.axes if axis.axison]
    assert len(shown) == 2, "recipes with one amount of traffic have no panel"
    assert [axis.get_title() for axis in shown][1] == "90 %"
    for axis in shown:
        points = sorted(
            (line.get_xdata()[0], line.get_ydata()[0])
            for line in axis.lines
            if len(line.get_xdata()) == 1
        )
        expected = sorted((m * aside(label), 100 * (a + 0.001)) for label, (m, a) in ARMS.items())
        np.testing.assert_allclose(points, expected)
        assert axis.get_xscale() == "log"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [
        "all-reduce",
        "ef",
        "saef",
        "defaults",
        "compressor=top-k",
        "compressor=top-k, two_way=true",
    ]


def test_without_workers_there_is_no_figure(cell: dict[str, Any], tmp_path: Path) -> None:
    assert draw_bits(pd.DataFrame([cell])) == []
    frame = runs(cell)
    assert draw_bits(frame[frame["communication"] == "all-reduce"]) == []
