"""Papers' results above a grid's own: differences, savings, and what entries are called."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from agc.reports.tables.printed import printed_tables, read_printed

COSTS = {"static": (0.0625, 0.06), "pfq(detector=falling)": (0.03, 0.02), "none": (None, None)}
ACCURACY = {"static": 0.90, "pfq(detector=falling)": 0.92, "none": 0.95, "metagrad(bits=2)": 0.94}


def records(**costs: tuple[float | None, float | None]) -> pd.DataFrame:
    """Three seeds of each arm; float32 has 10 FLOPs of 10."""
    rows: list[dict[str, Any]] = []
    for label, (spent, published) in (COSTS | costs).items():
        for seed in range(3):
            row = {"quantization": label, "quantization_in_full": label, "seed": seed}
            row |= {"dataset": "digits", "architecture": "resnet8", "objective": "standard"}
            row |= {"method": "rigl", "sparsity": 0.9, "correction": "none", "recipe": ""}
            row |= {"status": "finished", "final_test_accuracy": ACCURACY[label] + 0.001 * seed}
            row |= {"training_flops": 10.0, "bit_flops": spent and 10 * spent}
            rows.append(row | {"bit_flops_published": published and 10 * published})
    return pd.DataFrame(rows)


def test_ours_stand_below_the_papers_with_what_is_lost_and_saved() -> None:
    ((heading, table),) = printed_tables(records())
    assert heading == "beside the papers"
    assert "static, 8 bits throughout" in table.caption
    papers = [row for row in table.rows if not row[0].startswith("here")]
    assert {row[1] for row in papers} == {"pfq"}, "entries that a grid has not are left out"
    (own,) = [row for row in table.rows if row[0].startswith("here")]
    assert own[:3] == ["here: digits, resnet8, rigl 90 %", "pfq, detector=falling", "static"]
    assert own[5].startswith("+2.00")
    assert [float(text) for text in own[6:]] == pytest.approx([52, 66.7])


def test_metagrad_is_called_a_re_implementation_and_its_base_is_float32() -> None:
    ((_, table),) = printed_tables(records(**{"metagrad(bits=2)": (0.99, 0.9)}))
    rows = [row for row in table.rows if "metagrad" in row[1]]
    assert [row[5][:5] for row in rows] == ["-0.64", "-1.00"]
    assert all("re-implementation from the abstract" in row[1] for row in rows)
    assert rows[-1][-2:] == ["1", "–"]


def test_the_papers_own_arithmetic_holds() -> None:
    """77.6 % of ResNet-74's computation on CIFAR-10, at an accuracy lower by 0.07 points."""
    (line,) = [
        one
        for one in read_printed()
        if (one["entry"], one["setting"]) == ("fractrain", "CIFAR-10, ResNet-74")
    ]
    assert 1 - float(line["macs"]) / float(line["base_macs"]) == pytest.approx(0.776, abs=2e-3)
    lost = float(line["accuracy"]) - float(line["base_accuracy"])
    assert lost == pytest.approx(-0.07)


def test_a_grid_without_quantization_has_no_such_table() -> None:
    assert printed_tables(pd.DataFrame({"dataset": ["digits"]})) == []
