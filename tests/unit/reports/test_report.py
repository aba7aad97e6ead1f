"""The studies under version control: small, whole, and drawn anew from their own files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from agc.grids.cell import REVISION
from agc.grids.grid import load_grid
from agc.reports import report
from agc.reports.report import OF_STAGES, PUBLISHED, TUNING, WHERE_DUE
from agc.reports.study import UNPUBLISHED, read_study

REPORTS = Path(__file__).parents[3] / "reports"
STUDIES = sorted(path.parent.name for path in REPORTS.glob("*/records.parquet"))
LARGEST_PICTURE, LARGEST = 105_000, 8_000_000
"""In bytes; the second of all studies together."""


def published(study: str) -> dict[str, Path]:
    """The files of a study that are no drawings."""
    return {path.name: path for path in (REPORTS / study).iterdir() if path.is_file()}


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_gives_its_tables_and_page_without_training(
    study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, epochs = read_study(REPORTS / study)
    out = tmp_path / study
    pictures = sorted(
        (REPORTS / study).glob("*.png"), key=lambda path: ("summary" not in path.stem, path)
    )
    # A minute of learning curves a study shows nothing that those of one of them do not.
    if study != "digits":
        drawn = [out / path.name for path in pictures]
        monkeypatch.setattr(
            report, "write_figures", lambda *_: [*map(shutil.copy, pictures, drawn)] and drawn
        )
    grid = load_grid(study)
    named = (study, grid.file.description, grid.file.margin, grid.learning_rates)
    report.write_report(records, epochs, out, *named, stages=grid.stages, beside=REPORTS / study)
    for name in PUBLISHED:
        if name.endswith(".parquet"):
            continue
        assert (out / name).read_bytes() == (REPORTS / study / name).read_bytes(), name
    for name in WHERE_DUE:
        assert (out / name).exists() == (REPORTS / study / name).exists(), name
        if (out / name).exists():
            assert (out / name).read_bytes() == (REPORTS / study / name).read_bytes(), name
    if study == "digits":
        assert {path.name for path in out.glob("*.png")} == {path.name for path in pictures}


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_is_whole_and_names_no_host(study: str) -> None:
    names = set(published(study)) - {"report.html"}
    pictures = {name for name in names if name.endswith(".png")}
    assert names - pictures - {TUNING, *WHERE_DUE, *OF_STAGES} == set(PUBLISHED)
    records = pd.read_parquet(REPORTS / study / "records.parquet")
    corrected = set(records["correction"]) != {"none"}
    assert int(corrected) <= len(pictures) <= 2
    assert not set(UNPUBLISHED) & set(records)
    assert set(records["status"]) <= {"finished", "diverged"}
    if set(records["revision"]) == {REVISION}:  # else its page says so
        assert set(records["slug"]) <= {cell.slug for cell in load_grid(study).cells}
    else:
        page = (REPORTS / study / "README.md").read_text(encoding="utf-8")
        assert f"the present one is {REVISION}" in page


def test_all_studies_together_are_small() -> None:
    files = [path for study in STUDIES for path in published(study).values()]
    sizes = {path: path.stat().st_size for path in files if path.name != "report.html"}
    assert sum(sizes.values()) < LARGEST
    for path, size in sizes.items():
        assert size < LARGEST_PICTURE or path.suffix != ".png", path


def test_nothing_else_of_a_report_is_tracked(tmp_path: Path) -> None:
    drawn = [f"reports/x/{name}" for name in ("figures/a.svg", "tables/a.md", "report.html")]
    kept = [f"reports/x/{name}" for name in (*PUBLISHED, *OF_STAGES, TUNING)]
    command = ["git", "check-ignore", *drawn, *kept]
    found = subprocess.run(command, cwd=REPORTS.parent, capture_output=True, text=True, check=False)
    if found.returncode == 128:
        pytest.skip("not a git checkout")
    assert found.stdout.split() == drawn
