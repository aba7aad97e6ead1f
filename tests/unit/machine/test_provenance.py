"""A record names its machine, and a record from before it did so is as good as ever."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from agc.errors import UserError
from agc.files import read_json
from agc.machine import provenance as module
from agc.machine.device import Machine
from agc.machine.hardware import LIMITS
from agc.machine.provenance import provenance
from agc.records.read import read_record
from agc.records.schema import validate_record
from tests.support.records import make_cell, make_epochs, make_record, write_cell

MACHINE = Machine("cpu", "cpu", 1, True, ("cpu",))
TIMES = {"started": "2026-01-02T03:04:05Z", "finished": "2026-01-02T03:05:05Z"}
CARD = {
    "name": "A Card",
    "driver": None,
    "cuda": "13.2",
    "cudnn": "92600",
    "compute_capability": "9.0",
    "tf32_matmul": False,
    "tf32_convolution": True,
    "peak_memory": None,
}


def record(**told: Any) -> dict[str, Any]:
    cell = make_cell()
    found = make_record(cell, make_epochs(cell), diverged=False)
    found["provenance"] |= told
    return found


def test_what_this_machine_tells_is_a_valid_part_of_a_record() -> None:
    told = MACHINE.provenance() | TIMES
    assert told["cpu_capability"]
    assert not {"card", "graphs"} & set(told)
    validate_record({**record(), "provenance": told}, Path("record.json"))


def test_a_card_is_named_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "card", lambda device: CARD)
    told = provenance("cuda:0", 1, True) | TIMES
    assert told["card"] == CARD
    validate_record(record(**told), Path("record.json"))
    machine = Machine("cuda:0", "A Card", 1, True, ("cuda:0",), graphs=True)
    told = machine.provenance() | TIMES
    assert told["graphs"]
    validate_record(record(**told), Path("record.json"))


def test_a_record_without_these_fields_is_read(tmp_path: Path) -> None:
    folder = write_cell(tmp_path)
    found = read_record(folder)["provenance"]
    assert not {"cpu_family", "cpu_capability", "onednn", "card", "environment"} & set(found)
    assert read_json(folder / "record.json")["provenance"] == found


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ({"cpu_family": "25"}, "cpu_family"),
        ({"cpu_capability": 512}, "cpu_capability"),
        ({"environment": {"MKL_CBWR": 1}}, "MKL_CBWR"),
        ({"card": {"driver": "550"}}, "card"),
        ({"card": CARD | {"peak_memory": -1}}, "peak_memory"),
    ],
)
def test_a_machine_told_in_another_way_is_refused(told: dict[str, Any], word: str) -> None:
    with pytest.raises(UserError, match=word):
        validate_record(record(**told), Path("record.json"))


def test_variables_that_limit_the_instructions_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LIMITS:
        monkeypatch.delenv(name, raising=False)
    assert not set(LIMITS) & set(provenance("cpu", 1, True)["environment"])
    for name in LIMITS:
        monkeypatch.setenv(name, "AVX2")
    assert set(LIMITS) <= set(provenance("cpu", 1, True)["environment"])


def test_a_process_held_to_another_instruction_set_says_so() -> None:
    script = "from agc.machine.provenance import provenance\n"
    script += "told = provenance('cpu', 1, True)\n"
    script += "print(told['cpu_capability'], told['environment']['ATEN_CPU_CAPABILITY'])"
    held = {**os.environ, "ATEN_CPU_CAPABILITY": "default"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=held, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["DEFAULT", "default"]


@pytest.mark.parametrize(("device", "expected"), [("cpu", []), ("cuda:1", ["cuda:1"])])
def test_a_cell_s_peak_memory_is_not_that_of_the_cell_before(
    device: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[str] = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", forgotten.append)
    Machine(device, "a name", 1, True, (device,)).reset_peak_memory()
    assert forgotten == expected
