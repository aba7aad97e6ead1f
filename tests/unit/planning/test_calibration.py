from __future__ import annotations

from pathlib import Path

import pytest

from agc.errors import UserError
from agc.files import read_json, write_json
from agc.machine import hardware
from agc.planning.calibration import (
    Calibration,
    keep_calibration,
    load_calibration,
    this_machine,
)
from tests.support.timings import MACHINE, ROUND


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGC_DATA_ROOT", str(tmp_path / "data"))
    return tmp_path / "data"


def test_what_is_kept_is_found_by_machine_and_kind(root: Path) -> None:
    assert load_calibration(MACHINE).timings == {}
    keep_calibration(Calibration(MACHINE, 9.0, {"one": ROUND}))
    keep_calibration(Calibration(MACHINE, 11.0, {"two": ROUND}))
    found = load_calibration(MACHINE)
    assert found.timings == {"one": ROUND, "two": ROUND}
    assert found.start == 11.0
    for other in ({"threads": 2}, {"device": "NVIDIA H100"}, {"torch": "2.16.0"}):
        assert load_calibration({**MACHINE, **other}).timings == {}


def test_a_file_of_another_version_or_a_broken_one_counts_as_none(root: Path) -> None:
    path = keep_calibration(Calibration(MACHINE, 9.0, {"one": ROUND}))
    content = read_json(path)
    for changed in (
        {**content, "format": 0},
        {**content, "timings": {"one": {"step": 1.0}}},
        {**content, "timings": None},
        [],
    ):
        write_json(path, changed)
        assert load_calibration(MACHINE).timings == {}
    path.write_text("{")
    assert load_calibration(MACHINE).timings == {}


def test_a_place_that_cannot_be_written_is_one_line(root: Path) -> None:
    root.write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot write"):
        keep_calibration(Calibration(MACHINE, 9.0, {}))


def test_a_card_is_what_is_used_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "CARDS", tmp_path)
    monkeypatch.delenv("AGC_DEVICES", raising=False)
    assert this_machine()["device"] == "cpu"
    folder = tmp_path / "0000:01:00.0"
    folder.mkdir()
    (folder / "information").write_text("Model: \t\t NVIDIA H100\nIRQ:   \t\t 18\n")
    assert this_machine()["device"] == "NVIDIA H100"
    assert this_machine("cpu")["device"] == "cpu"
    monkeypatch.setenv("AGC_DEVICES", "cpu:0,cpu:1")
    assert this_machine()["device"] == "cpu"
    assert this_machine("cuda:1")["device"] == "NVIDIA H100"


def test_what_limits_the_processor_makes_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    free = this_machine("cpu")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    assert this_machine("cpu") != free
    assert "hostname" not in free
