from __future__ import annotations

import os
from pathlib import Path

import pytest

from agc.errors import UserError
from agc.files import atomic_path, atomic_write_text, read_json, write_json


def test_what_is_written_can_be_read_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder" / "value.json"
    write_json(path, {"b": 1.5, "a": ["τ", None]})
    assert read_json(path) == {"a": ["τ", None], "b": 1.5}
    assert path.read_text(encoding="utf-8").index('"a"') < path.read_text().index('"b"')
    assert [p.name for p in path.parent.iterdir()] == ["value.json"]


def test_a_failure_within_the_block_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "value.txt"
    atomic_write_text(path, "old")

    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("ne")
            assert path.read_text() == "old"
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_value_that_is_no_json_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, 1)
    for bad in (float("nan"), float("inf"), object()):
        with pytest.raises((ValueError, TypeError)):
            write_json(path, bad)
    assert read_json(path) == 1


def test_a_file_where_a_folder_should_be_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot write .*file/value\.txt"):
        atomic_write_text(tmp_path / "file" / "value.txt", "new")


def test_a_folder_that_takes_no_file_is_one_clear_line() -> None:
    # Not even root can make a file here.
    with pytest.raises(UserError, match=r"cannot write /proc/value\.txt"):
        atomic_write_text(Path("/proc/value.txt"), "new")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_one_clear_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="Permission denied"):
        atomic_write_text(tmp_path / "value.txt", "new")


def test_a_disk_that_is_full_is_one_clear_line_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "value.txt"
    atomic_write_text(path, "old")

    def fill() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("new")
            raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"cannot write .*value\.txt: No space left on device"):
        fill()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", '{"a": 1', '{"a": 1}}', "\x80"])
def test_a_file_that_is_not_whole_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "value.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"value\.json cannot be read as JSON"):
        read_json(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"value\.json does not exist"):
        read_json(tmp_path / "value.json")
