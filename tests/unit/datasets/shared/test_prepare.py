"""Preparation of a data set: where files are found, what is refused, and that a store is whole."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import shutil
import struct
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from agc.datasets.fashion_mnist import CONTENTS, SOURCE
from agc.datasets.shared import prepare as preparation
from agc.datasets.shared.originals import Original
from agc.datasets.shared.place import data_root, prepared_folder, raw_folder
from agc.datasets.shared.prepare import byte_statistics, prepare, save_split
from agc.errors import UserError
from agc.grids.cell import make_cell
from agc.registry import DATASETS
from agc.training.build import load_dataset
from tests.support.dataset_files import Made, idx


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGC_DATA_ROOT", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def files(tmp_path: Path) -> Made:
    (tmp_path / "files").mkdir()
    return idx(tmp_path / "files")


def made(files: Made, root: Path | None = None, **more: object) -> list[str]:
    """Prepare ``kmnist`` from small files, offline; returns what was reported."""
    lines: list[str] = []
    settings = {"originals": files.originals, "download": False, "report": lines.append}
    prepare("kmnist", root=root, **{**settings, **more})
    return lines


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_data_root_is_the_variable_s_or_in_the_user_s_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert data_root() == tmp_path / "data"
    monkeypatch.delenv("AGC_DATA_ROOT")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_root() == tmp_path / "cache" / "agc"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_root() == tmp_path / ".cache" / "agc"


@pytest.mark.parametrize(
    "kept", ["data/raw/kmnist", "data/kmnist", "data/KMNIST/raw", "own", "own/KMNIST/raw"]
)
def test_files_are_found_where_users_and_torchvision_keep_them(
    files: Made, tmp_path: Path, kept: str
) -> None:
    shutil.copytree(files.folder, tmp_path / kept)
    lines = made(files, tmp_path / "own" if kept.startswith("own") else None)
    assert lines[0] == f"kmnist: {tmp_path / kept}/{files.originals[0].name} is whole"
    assert lines[-1] == f"kmnist: prepared in {prepared_folder('kmnist')}"


def test_a_system_package_s_folder_comes_after_the_user_s_own(files: Made, tmp_path: Path) -> None:
    source = DATASETS["kmnist"].facts["source"]
    with_package = dataclasses.replace(source, system=files.folder)
    own = tmp_path / "own"
    own.mkdir()
    first = files.originals[0].name
    shutil.copy(files.folder / first, own)
    found = preparation.gather("kmnist", with_package, files.originals, own, False, print)
    assert found[first] == own / first
    assert {path.parent for name, path in found.items() if name != first} == {files.folder}


def test_a_whole_store_is_left_alone_and_needs_no_original_files(files: Made) -> None:
    made(files, files.folder)
    before = content(prepared_folder("kmnist"))
    shutil.rmtree(files.folder)
    assert made(files) == [f"kmnist: prepared already in {prepared_folder('kmnist')}"]
    assert content(prepared_folder("kmnist")) == before


@pytest.mark.parametrize("harm", ["truncated", "a bit", "missing", "manifest", "format"])
def test_a_store_that_is_not_whole_is_named_never_used_and_made_anew(
    files: Made, harm: str
) -> None:
    made(files, files.folder)
    folder = prepared_folder("kmnist")
    good = content(folder)
    victim = folder / ("manifest.json" if harm in ("manifest", "format") else "test-images.npy")
    data = good[victim.name]
    if harm == "truncated" or harm == "manifest":
        victim.write_bytes(data[: len(data) // 2])
    elif harm == "a bit":
        victim.write_bytes(data[:-1] + bytes([data[-1] ^ 4]))
    elif harm == "format":
        victim.write_text(json.dumps({**json.loads(data), "format": 99}))
    else:
        victim.unlink()
    with pytest.raises(UserError) as caught:
        load_dataset(make_cell({"dataset": "kmnist", "architecture": "resnet8"}))
    named = folder if harm == "format" else victim
    assert str(caught.value).startswith(str(named))
    lines = made(files, files.folder)
    assert lines[0].startswith(str(named))
    assert lines[0].endswith("making it anew")
    assert content(folder) == good


def test_an_interrupted_preparation_leaves_no_store_and_the_next_one_is_clean(files: Made) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(files, files.folder, report=interrupt)
    folder = prepared_folder("kmnist")
    assert not folder.exists()
    # What a kill leaves, which no handler can clean up.
    killed = folder.with_name(".kmnist.12345.tmp")
    killed.mkdir()
    (killed / "train-images.npy").write_bytes(b"half")
    made(files, files.folder)
    assert {path.name for path in folder.parent.iterdir()} == {"kmnist", ".kmnist.lock"}


def test_two_at_once_do_the_work_once(files: Made) -> None:
    lines: dict[int, list[str]] = {0: [], 1: []}

    def one(number: int) -> None:
        lines[number] = made(files, files.folder)

    threads = [threading.Thread(target=one, args=(number,)) for number in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ends = sorted(told[-1].split(" in ")[0] for told in lines.values())
    assert ends == ["kmnist: prepared", "kmnist: prepared already"]


def test_without_network_one_line_says_which_files_to_put_where(files: Made) -> None:
    refused = [Original(o.name, o.md5, (f"http://127.0.0.1:9/{o.name}",)) for o in files.originals]
    missing = refused[0].name
    shutil.copytree(files.folder, raw_folder("kmnist"))
    (raw_folder("kmnist") / missing).unlink()
    with pytest.raises(UserError) as caught:
        prepare("kmnist", originals=refused)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"kmnist: {missing} not found on this machine, and not downloaded")
    assert f"http://127.0.0.1:9/{missing}" in message
    assert f"put them into {raw_folder('kmnist')}" in message
    assert not any(path.name.endswith(".tmp") for path in raw_folder("kmnist").iterdir())


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_a_download_is_verified_and_appears_whole(files: Made, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / files.originals[0].name).write_bytes(b"an error page")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site = f"http://127.0.0.1:{server.server_port}"
    mirrors = [
        dataclasses.replace(o, urls=(f"{site}/bad/{o.name}", f"{site}/files/{o.name}"))
        for o in files.originals
    ]
    try:
        lines = made(files, originals=mirrors, download=True)
    finally:
        server.shutdown()
        server.server_close()
    assert lines[-1].startswith("kmnist: prepared in")
    kept = content(raw_folder("kmnist"))
    assert set(kept) == {original.name for original in files.originals}
    for original in files.originals:
        assert hashlib.md5(kept[original.name]).hexdigest() == original.md5


def test_a_file_compressed_anew_is_known_by_its_content(files: Made) -> None:
    first = files.originals[0]
    path = files.folder / first.name
    plain = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(plain, compresslevel=1, mtime=7))
    with pytest.raises(UserError, match="is not the published"):
        made(files, files.folder)
    known = dataclasses.replace(first, content=hashlib.md5(plain).hexdigest())
    made(files, files.folder, originals=[known, *files.originals[1:]])
    path.write_bytes(path.read_bytes()[:-9])
    shutil.rmtree(prepared_folder("kmnist"))
    with pytest.raises(UserError, match="is not the published"):
        made(files, files.folder, originals=[known, *files.originals[1:]])


@pytest.mark.skipif(
    not SOURCE.system.is_dir(), reason="the Debian package dataset-fashion-mnist is not installed"
)
def test_the_package_s_files_hold_what_has_been_published() -> None:
    # The published archives were packed at these times; Debian drops name and time.
    packed = {"train": 1504176606, "t10k": 1504176627}
    for original in SOURCE.originals():
        file = (SOURCE.system / original.name).read_bytes()
        time = struct.pack("<I", packed[original.name.split("-")[0]])
        name = original.name.removesuffix(".gz").encode() + b"\0"
        published = file[:3] + b"\x08" + time + file[8:10] + name + file[10:]
        assert hashlib.md5(published).hexdigest() == original.md5
        assert hashlib.md5(gzip.decompress(published)).hexdigest() == CONTENTS[original.name]


def test_statistics_from_histograms_are_those_of_numpy() -> None:
    images = np.random.default_rng(0).integers(256, size=(5000, 2, 3, 4), dtype=np.uint8)
    mean, std = byte_statistics(images)
    flat = images.transpose(1, 0, 2, 3).reshape(2, -1) / 255
    assert mean == pytest.approx(flat.mean(axis=1))
    assert std == pytest.approx(flat.std(axis=1, ddof=1))


def test_a_folder_that_cannot_be_written_is_one_clear_line(files: Made, place: Path) -> None:
    place.write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot write"):
        made(files, files.folder)


def test_a_root_that_is_no_folder_is_refused_before_anything_is_downloaded(
    files: Made, tmp_path: Path
) -> None:
    for root in (tmp_path / "nowhere", files.folder / files.originals[0].name):
        with pytest.raises(UserError, match=rf"^kmnist: --root {root} is no folder$"):
            made(files, root, download=True)


@pytest.mark.parametrize("labels", [[0.5, 1.0], [-1, 0], [[0], [1]], [0]])
def test_a_store_takes_whole_numbers_from_0_one_an_image(labels: list, tmp_path: Path) -> None:
    images = np.zeros((2, 1, 4, 4), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"expected uint8 .* and whole numbers from 0"):
        save_split(tmp_path, "train", images, np.array(labels))
    assert not list(tmp_path.iterdir())
