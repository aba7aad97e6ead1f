"""Damaged stores of data: refused by name, never run, never trained on, and made anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from agc.datasets.shared.manifest import MANIFEST
from agc.datasets.shared.place import prepared_folder
from agc.datasets.shared.prepare import prepare
from agc.errors import UserError
from agc.grids.cell import Cell, make_cell
from agc.machine.device import Machine
from agc.runs.train import CellRun
from agc.training.build import load_dataset
from tests.support.damage import damaged
from tests.support.dataset_files import Made, idx

FILES = ("train-images.npy", "train-labels.npy", "test-images.npy", "test-labels.npy", MANIFEST)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return idx(tmp_path_factory.mktemp("originals"))


@pytest.fixture
def store(originals: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A prepared store of ``kmnist``, the same whenever it is made."""
    monkeypatch.setenv("AGC_DATA_ROOT", str(tmp_path / "data"))
    made("kmnist", originals)
    return prepared_folder("kmnist")


def made(name: str, originals: Made) -> list[str]:
    """Prepare a data set from small files; what was reported."""
    lines: list[str] = []
    prepare(name, None, originals.folder, originals.originals, False, lines.append)
    return lines


@pytest.fixture(scope="module")
def reader() -> Cell:
    return make_cell({"dataset": "kmnist", "architecture": "resnet8"})


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused_and_made_anew(
    reader: Cell, store: Path, named: Path, originals: Made, good: dict[str, bytes]
) -> str:
    """What is said against the store; it is not touched until it is prepared again."""
    bad = content(store)
    with pytest.raises(UserError) as caught:
        load_dataset(reader)
    said = str(caught.value)
    assert said.startswith(f"{named} ")
    assert said.endswith("; to make it anew, run `agc data prepare kmnist`")
    assert "\n" not in said
    assert content(store) == bad
    first, *_, last = made("kmnist", originals)
    assert first.startswith(f"{named} ")
    assert first.endswith("; making it anew")
    assert last == f"kmnist: prepared in {store}"
    assert content(store) == good
    load_dataset(reader)
    return said


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["empty", "truncated", "a bit flipped", "a bomb"])
def test_a_damaged_file_is_named_never_used_and_made_anew(
    reader: Cell, store: Path, originals: Made, tmp_path: Path, name: str, how: str
) -> None:
    good, mark = content(store), tmp_path / "ran"
    (store / name).write_bytes(damaged(good[name], how, mark))
    refused_and_made_anew(reader, store, store / name, originals, good)
    assert not mark.exists()


@pytest.mark.parametrize("name", FILES)
def test_a_flip_of_whichever_bit_is_found(
    reader: Cell, store: Path, originals: Made, name: str
) -> None:
    good = content(store)
    data = good[name]
    for place in range(0, len(data), max(1, len(data) // 40)):
        for bit in (1, 16):
            flipped = data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
            (store / name).write_bytes(flipped)
            with pytest.raises(UserError, match=r"agc data prepare kmnist"):
                load_dataset(reader)
    made("kmnist", originals)
    assert content(store) == good


def test_a_store_of_another_version_is_refused(reader: Cell, store: Path, originals: Made) -> None:
    good = content(store)
    manifest = json.loads(good[MANIFEST])
    (store / MANIFEST).write_text(json.dumps({**manifest, "format": 9}), encoding="utf-8")
    said = refused_and_made_anew(reader, store, store, originals, good)
    assert "has format 9, this version of agc reads 1" in said


def test_a_whole_store_of_another_data_set_is_refused(
    reader: Cell, store: Path, originals: Made
) -> None:
    good = content(store)
    made("mnist", originals)
    shutil.rmtree(store)
    shutil.copytree(prepared_folder("mnist"), store)
    said = refused_and_made_anew(reader, store, store, originals, good)
    assert "holds data set 'mnist', not its own" in said


@pytest.mark.parametrize("lost", ["files", "name", "seal", "key"])
def test_a_manifest_that_lacks_an_entry_is_refused(
    reader: Cell, store: Path, originals: Made, lost: str
) -> None:
    good = content(store)
    manifest = json.loads(good[MANIFEST])
    del manifest[lost]
    (store / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    refused_and_made_anew(reader, store, store / MANIFEST, originals, good)


def test_a_store_of_before_the_seal_is_still_read(reader: Cell, store: Path) -> None:
    manifest = json.loads((store / MANIFEST).read_bytes())
    old = {key: value for key, value in manifest.items() if key not in ("seal", "key")}
    (store / MANIFEST).write_text(json.dumps(old), encoding="utf-8")
    assert len(load_dataset(reader).train) == 30
    (store / MANIFEST).write_text(json.dumps({**old, "name": "mnist"}), encoding="utf-8")
    with pytest.raises(UserError, match="holds data set 'mnist', not its own"):
        load_dataset(reader)
    (store / MANIFEST).write_text(json.dumps({**old, "files": [1]}), encoding="utf-8")
    with pytest.raises(UserError, match="is corrupt: it is no manifest"):
        load_dataset(reader)


def test_a_cell_on_a_damaged_store_ends_before_it_begins(
    reader: Cell, store: Path, machine: Machine, tmp_path: Path
) -> None:
    (store / "train-labels.npy").write_bytes(b"")
    folder = tmp_path / reader.slug
    with pytest.raises(UserError, match=r"train-labels\.npy has 0 bytes instead of \d+; to make"):
        CellRun(reader, folder, machine).train()
    assert {path.name for path in folder.iterdir()} <= {"cell.json", ".lock"}
