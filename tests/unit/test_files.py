from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from agc.errors import UserError
from agc.files import atomic_path, atomic_write_text, parse_yaml, read_json, write_json


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr: 0.1\nepochs: 3\nlr: 0.2\n", "key 'lr' is given twice, first in line 1"),
        ("a: {b: 1, c: 2, b: 1}", "key 'b' is given twice"),
        ("- {name: rigl, name: set}", "key 'name' is given twice"),
        ("1: a\n0x1: b\n", "key 1 is given twice"),
    ],
)
def test_yaml_that_says_a_key_twice_is_refused(text: str, message: str) -> None:
    with pytest.raises(yaml.YAMLError, match=message):
        parse_yaml(text)


def test_yaml_may_say_anew_what_it_merges_in() -> None:
    text = "base: &b {x: 1, y: 2}\nother: {<<: *b, y: 3}\nlist: [{x: 1}, {x: 1}]\n"
    assert parse_yaml(text) == yaml.safe_load(text)
    assert parse_yaml(text)["other"] == {"x": 1, "y": 3}
    with pytest.raises(yaml.YAMLError, match="mapping"):
        parse_yaml("? [1, 2]\n: 3\n? {a: 1}\n: 4")
