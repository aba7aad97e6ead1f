"""``agc compare GRID --against OTHER``: exit codes, words, and nothing written."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from agc.reports.study import write_study
from tests.support.command_line import Outcome, agc
from tests.support.two_sets import Study, drawn, first_set

REPORT = Path(__file__).parents[3] / "reports" / "digits"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return first_set(tmp_path_factory.mktemp("study"))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, study: Study) -> Iterator[None]:
    """A folder with the results of a grid, and no repository."""
    with chdir(tmp_path):
        write_study(*study, Path("results", "digits"))
        yield


def against(*more: object, **how: float) -> Outcome:
    """Check against a redraw of the same cells."""
    from agc.reports.study import read_study

    records, epochs = read_study(Path("results", "digits"))
    write_study(drawn(records, 1, **how), epochs, Path("other"))
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    found = agc("compare", "digits", "--against", "other", *more)
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    return found


def test_the_committed_study_against_itself_is_identical() -> None:
    found = agc("compare", "digits", "--from", REPORT, "--against", REPORT)
    assert (found.code, found.err) == (0, "")
    assert "160 cells in both, 0 only here, 0 only there; 160 of 160 bit-identical" in found.out
    assert found.out.splitlines()[-1].startswith("identical: ")
    assert not Path("reports").exists()


def test_a_redraw_of_the_same_runs_is_reproduced() -> None:
    found = against()
    assert found.code == 0
    assert found.out.startswith("here: results/digits; there: other\n40 cells in both")
    assert "reproduced: every effect and level within ±1 (accuracy) points" in found.out
    assert "accuracy, rigl 90 %" in found.out


def test_what_is_not_reproduced_is_named() -> None:
    found = against(effect=0.03)
    assert (found.code, found.err) == (1, "")
    last = found.out.splitlines()[-1]
    assert last.startswith("not reproduced: beyond ±1 (accuracy) points: ")
    assert "standard, accuracy, effect of agc; standard, accuracy, level of agc" in last


def test_open_is_not_reproduced_and_says_why() -> None:
    found = against(sd=0.05)
    assert found.code == 1
    assert "open; within ±" in found.out
    assert "open, which is not reproduced: too few or too scattered runs" in found.out


def test_another_revision_is_matched_by_labels_and_says_so_first(study: Study) -> None:
    records, epochs = (own.assign(slug=own["slug"] + "x") for own in study)
    write_study(records.assign(revision=2), epochs, Path("newer"))
    found = agc("compare", "digits", "--against", "newer")
    first = found.out.splitlines()[0]
    assert first.startswith("matched by labels, as no slug is in both (revision 1 here, 2 there)")
    assert found.code == 0
    write_study(records, epochs, Path("newer"))
    found = agc("compare", "digits", "--against", "newer")
    assert "both are revision 1, so some setting differs" in found.out.splitlines()[0]


def repository(study: Study) -> None:
    """The study is committed, and tables of a redraw lie over it."""
    write_study(*study, Path("reports", "digits"))
    for command in (("init", "-q"), ("add", "reports"), ("commit", "-q", "-m", "a study")):
        who = ("-c", "user.name=a", "-c", "user.email=a@b.example")
        subprocess.run(["git", *who, *command], check=True)


def show(*more: object) -> Outcome:
    return agc("compare", "digits", "--show", "--against", "HEAD:reports/digits", *more)


def test_a_commit_is_another_set(study: Study) -> None:
    repository(study)
    write_study(drawn(study[0], 1, effect=0.03), study[1], Path("results", "digits"))
    found = agc("compare", "digits", "--against", "HEAD:reports/digits")
    assert (found.code, found.err) == (1, "")
    assert "here: results/digits; there: HEAD:reports/digits\n" in found.out
    missing = agc("compare", "digits", "--against", "HEAD:reports/other").message
    assert missing.startswith("git cannot read HEAD:reports/other/records.parquet: ")


@pytest.mark.parametrize(
    ("how", "code", "word"),
    [
        ({}, 0, "reproduced"),
        ({"sd": 0.05}, 0, "open, which is not reproduced"),
        ({"effect": 0.03}, 1, "not reproduced"),
    ],
)
def test_tables_that_are_shown_end_with_the_verdict(
    study: Study, how: dict[str, float], code: int, word: str
) -> None:
    repository(study)
    write_study(drawn(study[0], 1, **how), study[1], Path("results", "digits"))
    assert agc("compare", "digits").code == 0
    found = show()
    assert (found.code, found.err) == (code, "")
    assert found.out.index("tables and figures: ") < found.out.index("here: reports/digits")
    assert f"\n{word}: " in found.out
    assert "row by row" not in found.out


def test_tables_that_nothing_was_committed_for_are_shown_all_the_same() -> None:
    assert agc("compare", "digits").code == 0
    found = show()
    assert (found.code, found.err) == (0, "")
    assert "\nnot checked against HEAD:reports/digits: git cannot read " in found.out


def test_bad_input_is_one_line(study: Study) -> None:
    given = ("compare", "digits", "--against")
    assert agc(*given, "no").message.startswith("no/records.parquet does not exist")
    assert agc(*given, "HEAD:reports/digits").message.startswith(
        "git cannot read HEAD:reports/digits/records.parquet: "
    )
    write_study(study[0].assign(slug="x", seed=9).iloc[:1], study[1], Path("other"))
    assert "no cell in common" in agc(*given, "other").message
    shutil.rmtree("results")
    assert "results/digits/records.parquet does not exist" in agc(*given, "other").message
