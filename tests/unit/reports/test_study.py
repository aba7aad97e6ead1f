"""A study's two tables as files: nothing is lost, and nothing private is published."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from agc.errors import UserError
from agc.reports.study import NEEDED, publish_study, read_study, write_study
from tests.support.records import collected, entry, write_cell

Study = tuple[pd.DataFrame, pd.DataFrame]
NAMES = ("records.parquet", "epochs.parquet")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A plain run, a corrected one, and one that diverged, so that some numbers are missing."""
    cells = tmp_path / "cells"
    folders = [write_cell(cells), write_cell(cells, correction=entry("agc"))]
    folders.append(write_cell(cells, diverged=True, correction=entry("svrg")))
    return collected(folders, tmp_path / "collected")


def test_tables_survive_their_files_exactly(study: Study, tmp_path: Path) -> None:
    write_study(*study, tmp_path / "a")
    read = read_study(tmp_path / "a")
    for before, after in zip(study, read, strict=True):
        pd.testing.assert_frame_equal(before, after, check_exact=True)
    write_study(*read, tmp_path / "b")
    for name in NAMES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_no_host_is_published_and_all_else_is(study: Study, tmp_path: Path) -> None:
    assert set(study[0]["provenance_hostname"]) == {"secret-host"}
    publish_study(*study, tmp_path / "out")
    records, epochs = read_study(tmp_path / "out")
    assert list(records) == [name for name in study[0] if name != "provenance_hostname"]
    assert list(epochs) == list(study[1])
    publish_study(records, epochs, tmp_path / "again")
    for name in NAMES:
        content = (tmp_path / "out" / name).read_bytes()
        assert b"secret-host" not in content
        assert (tmp_path / "again" / name).read_bytes() == content


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_study_is_refused_in_a_line(study: Study, tmp_path: Path, name: str) -> None:
    out, path = tmp_path / "out", tmp_path / "out" / name

    def refused() -> str:
        with pytest.raises(UserError) as caught:
            read_study(out)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    write_study(*study, out)
    content = path.read_bytes()
    for junk in (b"", b"junk", content[:-100], content[: len(content) // 2]):
        path.write_bytes(junk)
        assert refused().startswith(f"{path} cannot be read as a table: ")
    frame = dict(zip(NAMES, study, strict=True))[name]
    for column in NEEDED[name]:
        frame.drop(columns=column).to_parquet(path)
        assert refused().startswith(f"{path} lacks the column {column!r}")
    path.unlink()
    assert refused().startswith(f"{path} does not exist")
