"""Reports name what redraws their cells; where records do not tell it, they are as before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from agc.files import read_json, write_json
from agc.reports.collect import LATER_PROVENANCE
from agc.reports.compare import compare
from agc.reports.sources import summarize_provenance
from agc.reports.study import publish_study, read_study
from agc.reports.tables.readme import write_readme
from agc.reports.tables.write import write_tables
from tests.support.records import collected, entry, write_cell

AVX2 = {"cpu_family": 25, "cpu_model": 1, "cpu_capability": "AVX2", "onednn": "3.7", "mkl": None}
AVX512 = AVX2 | {"cpu_model": 17, "cpu_capability": "AVX512"}
HELD = AVX512 | {"environment": {"ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}}
CARD = {"name": "A Card", "driver": "550.1", "cuda": "13.2", "tf32_matmul": False}
ONE_CARD = AVX2 | {"device": "cuda:0", "card": CARD}
OTHER_CARD = AVX512 | {"device": "cuda:0", "card": CARD | {"name": "B Card"}}
COLUMNS = {f"provenance_{key.replace('.', '_')}" for key in LATER_PROVENANCE}


def study(root: Path, *told: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two cells a machine, a plain one and a corrected one, collected."""
    folders = []
    for seed, provenance in enumerate(told):
        for correction in ("none", "agc"):
            folder = write_cell(root / "cells", seed=seed, correction=entry(correction))
            record = read_json(folder / "record.json")
            record["provenance"] |= provenance
            write_json(folder / "record.json", record)
            folders.append(folder)
    return collected(folders, root / "collected")


def page(records: pd.DataFrame, epochs: pd.DataFrame, out: Path) -> str:
    comparison, provenance = compare(records, epochs), summarize_provenance(records)
    write_tables(comparison, out, provenance)
    assert json.loads((out / "provenance.json").read_text()) == provenance
    return write_readme(comparison, out, provenance, "study").read_text()


def test_columns_hold_what_the_records_tell_and_no_others_are_there(tmp_path: Path) -> None:
    records, _ = study(tmp_path, HELD, ONE_CARD, {})
    assert {name for name in COLUMNS if name in records} == {
        *("provenance_cpu_family", "provenance_cpu_model", "provenance_cpu_capability"),
        *("provenance_onednn", "provenance_environment_ONEDNN_MAX_CPU_ISA"),
        *("provenance_card_name", "provenance_card_driver", "provenance_card_cuda"),
        "provenance_card_tf32_matmul",
    }
    rows = records.set_index(["seed", "correction"]).sort_index()
    assert rows.loc[(0, "agc"), "provenance_environment_ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert rows.loc[(0, "agc"), "provenance_cpu_model"] == "17"
    assert rows.loc[(1, "agc"), "provenance_card_tf32_matmul"] == "False"
    assert pd.isna(rows.loc[(2, "agc"), "provenance_cpu_capability"])


def test_records_that_tell_nothing_give_the_tables_and_pages_of_before(tmp_path: Path) -> None:
    records, epochs = study(tmp_path, {})
    assert not COLUMNS & set(records)
    summary = summarize_provenance(records)
    assert not {"instruction_sets", "cards", "remarks"} & set(summary)
    assert summary["machines"] == [{"device": "cpu", "cpu": "a cpu", "threads": "1", "cells": 2}]
    text = page(records, epochs, tmp_path / "out")
    assert "Trained on a cpu (cpu, 1 thread; 2 cells), from" in text
    assert "from the same seeds. These are cells of revision 1;" in text


def test_the_page_names_the_instruction_set(tmp_path: Path) -> None:
    records, epochs = study(tmp_path, AVX512)
    text = page(records, epochs, tmp_path / "out")
    assert "Trained on a cpu family 25 model 17 (cpu, AVX512, 1 thread; 2 cells), from" in text
    assert "different draws" not in text
    summary = summarize_provenance(records)
    assert summary["instruction_sets"] == {"AVX512": 2}
    assert "remarks" not in summary


@pytest.mark.parametrize(
    ("told", "kind", "found"),
    [
        ((AVX2, AVX512, AVX512), "instruction_sets", {"AVX2": 2, "AVX512": 4}),
        (
            (AVX512, HELD, {}),  # a limit that binds a library alone, and a record that is silent
            "instruction_sets",
            {"AVX512": 2, "AVX512, ONEDNN_MAX_CPU_ISA=AVX2": 2},
        ),
        ((ONE_CARD, OTHER_CARD), "cards", {"A Card": 2, "B Card": 2}),
    ],
)
def test_several_in_one_report_are_said_to_be_different_draws(
    told: tuple[dict[str, Any], ...], kind: str, found: dict[str, int], tmp_path: Path
) -> None:
    records, epochs = study(tmp_path, *told)
    summary = summarize_provenance(records)
    assert summary[kind] == found
    said = f"ells of two {kind.replace('_', ' ')} are different draws, and here are "
    assert len(summary["remarks"]) == 1
    assert said in summary["remarks"][0]
    text = page(records, epochs, tmp_path / "out")
    assert said in text
    for name in found:
        assert name in text.replace("\\", "")


def test_hosts_of_cards_with_other_cpus_draw_the_same(tmp_path: Path) -> None:
    records, epochs = study(tmp_path, ONE_CARD, ONE_CARD | {"cpu_capability": "AVX512"})
    summary = summarize_provenance(records)
    assert (summary["cards"], "remarks" in summary) == ({"A Card": 4}, False)
    assert "(cuda:0, A Card, AVX2, 1 thread; 2 cells)" in page(records, epochs, tmp_path / "out")


def test_a_published_study_keeps_what_redraws_its_cells(tmp_path: Path) -> None:
    records, epochs = study(tmp_path, AVX2, HELD)
    publish_study(records, epochs, tmp_path / "out")
    again, _ = read_study(tmp_path / "out")
    assert summarize_provenance(again) == summarize_provenance(records)


def test_a_cell_without_a_result_has_no_machine(tmp_path: Path) -> None:
    records, _ = study(tmp_path, AVX2, AVX512)
    told = [name for name in records if name.startswith("provenance_")]
    records.loc[0, told] = pd.NA
    records.loc[0, "status"] = "unfinished"
    summary = summarize_provenance(records)
    assert sum(summary["instruction_sets"].values()) == 3
    assert sum(machine["cells"] for machine in summary["machines"]) == 3
