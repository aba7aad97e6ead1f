"""The page of measured cards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agc.errors import UserError
from agc.reports.text.cards import cards

ROW = {"name": "rigl agc", "ms": 5.0, "ratio": 2.5, "over_units": 1.25, "pass_ms": 3.0}
ROW |= {"kernels": 700, "busy": 0.31, "waits": 0, "peak_memory": 2.5e9}
FAILED = {"name": "bsr none", "error": "no engine"}
REPORT = {
    "device": "Card One",
    "batch": 128,
    "size": 32,
    "seconds": 400.2,
    "provenance": {"torch": "2.15", "cpu": "Chip", "card": {"cuda": "13.2", "driver": None}},
    "steps": {"resnet18": {"tf32": [ROW, FAILED], "bfloat16": {"error": "out of memory"}}},
    "bits": {"tf32": True, "bfloat16": False},
    "levers": {"resnet18": [{"name": "graph", "error": "no capture"}]},
    "official": {
        "resnet18": {
            "official": 20.0,
            "ours": {"as it is": {"ms": 10.0, "ratio": 0.5}, "compiled": {"error": "no compiler"}},
        },
    },
    "packed": [{"processes": 1, "steps_per_second": 100.0}],
}


def written(folder: Path, report: object) -> Path:
    path = folder / "gpu" / "card-one.json"
    path.parent.mkdir()
    path.write_text(json.dumps(report), encoding="utf-8")
    return folder


def test_without_a_card_the_page_says_how_to_measure_one(tmp_path: Path) -> None:
    assert "make bench-gpu" in cards(tmp_path)


def test_a_card_has_its_steps_and_says_what_is_wrong(tmp_path: Path) -> None:
    page = cards(written(tmp_path, REPORT))
    assert page.startswith("### Card One\n\ntorch 2.15, cuda 13.2, Chip;")
    row = "| resnet18 | tf32 | rigl agc | 5.00 | 2.50 | 1.25 | 3.00 | 700 | 0.31, launch-bound | 0 "
    assert row in page
    assert "| resnet18 | bfloat16 | out of memory | – |" in page
    assert "| resnet18 | tf32 | bsr none: no engine | – |" in page
    assert "do **not** have the same bits: bfloat16." in page
    assert "graph: no capture" in page
    assert "| resnet18 | as it is | 20.00 | 10.00 | 0.50 |" in page
    assert "| resnet18 | compiled: no compiler | 20.00 | – | – |" in page


def test_a_part_that_was_not_reached_is_left_out(tmp_path: Path) -> None:
    names = ("device", "batch", "size", "seconds", "provenance", "steps")
    page = cards(written(tmp_path, {name: REPORT[name] for name in names}))
    assert "official" not in page
    assert "is not known" in page


def test_another_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"card-one\.json is no file of agc bench train"):
        cards(written(tmp_path, {"device": "Card One"}))
