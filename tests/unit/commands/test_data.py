"""``agc data`` on small files."""

from __future__ import annotations

from pathlib import Path

import pytest

from agc.datasets.shared.originals import Source
from agc.datasets.shared.place import prepared_folder
from agc.registry import DATASETS
from tests.support.command_line import agc
from tests.support.dataset_files import idx


def test_the_command_prepares_lists_and_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGC_DATA_ROOT", str(tmp_path / "data"))
    (tmp_path / "files").mkdir()
    files = idx(tmp_path / "files")
    small = Source(lambda: files.originals, DATASETS["mnist"].facts["source"].convert)
    monkeypatch.setitem(DATASETS["mnist"].facts, "source", small)
    told = agc("data", "prepare", "mnist", "--root", files.folder, "--offline")
    assert told.code == 0
    assert str(prepared_folder("mnist")) in told.out
    listed = agc("data", "list").out
    assert f"{tmp_path}/data" in listed
    assert "needs no preparation" in agc("data", "prepare", "digits").message
    assert "did you mean 'kmnist'" in agc("data", "prepare", "kmnst").message
    assert "expected OPTION=VALUE" in agc("data", "prepare", "svhn", "--set", "extra").message
    assert "did you mean 'extra'" in agc("data", "prepare", "svhn", "--set", "extr=1").message
    assert "option extra = 'all'" in agc("data", "prepare", "svhn", "--set", "extra=all").message
    nowhere = agc("data", "prepare", "mnist", "--root", tmp_path / "nowhere")
    assert nowhere.message == f"mnist: --root {tmp_path / 'nowhere'} is no folder"
    options = ("--dataset", "kmnist", "--architecture", "resnet8", "--recipe", "none")
    unprepared = agc("train", *options, "--out", tmp_path)
    assert "run `agc data prepare kmnist`" in unprepared.message
