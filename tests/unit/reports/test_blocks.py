"""Generated blocks of pages: found, refused in one line, and made of the studies' data."""

from __future__ import annotations

import shutil
from contextlib import chdir
from pathlib import Path

import pandas as pd
import pytest

from agc.errors import UserError
from agc.reports.blocks import Block, find_blocks, rewritten
from agc.reports.pooled import pooled
from agc.reports.study import read_study, write_study
from agc.reports.text.corrections import by, contrasts
from agc.reports.text.effects import effects
from agc.reports.text.findings import answer, findings
from agc.reports.text.methods import dunnett
from agc.reports.text.robustness import bsr
from agc.reports.text.study import WIDTH
from tests.support.command_line import agc

ROOT = Path(__file__).parents[3]
END = "<!-- /agc -->"
PAGE = f"first\n<!-- agc:paper -->\nstale\n{END}\nlast\n"


def planted(
    folder: Path, study: str = "digits", change: pd.DataFrame | None = None
) -> tuple[Path, pd.DataFrame]:
    """A folder of reports with one study, whose records are ``change`` if given."""
    records, epochs = read_study(ROOT / "reports" / study)
    records = records if change is None else change
    out = folder / "reports" / study
    write_study(records, epochs, out)
    for name in ("comparison.csv", "claims.csv"):
        shutil.copy(ROOT / "reports" / study / name, out)
    pooled(records).to_csv(out / "pooled.csv", index=False)
    return out.parent, records


@pytest.fixture(scope="module")
def designed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """The default grid, with harm in one row."""
    records, _ = read_study(ROOT / "reports" / "digits")
    frame = records.copy()
    harmed = (records["correction"] == "agc") & (records["method"] == "rigl")
    frame.loc[harmed & (records["sparsity"] == 0.95), "final_test_accuracy"] -= 0.2
    return planted(tmp_path_factory.mktemp("designed"), change=frame)


# --- blocks ---------------------------------------------------------------------------------------


def test_blocks_are_found_with_their_arguments() -> None:
    text = f'a\n<!-- agc:one -->\n{END}\n<!-- agc:two x "y, z" -->\nold\n{END}\n'
    assert find_blocks(text, "page") == [Block("one", [], 1, 2), Block("two", ["x", "y, z"], 3, 5)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n<!-- agc:paper -->\nb\n", "page.md:2: block 'paper' is not closed"),
        (f"<!-- agc:paper -->\n<!-- agc:paper -->\n{END}\n", "page.md:1: block 'paper' is not"),
        (f"a\nb\n{END}\n", "page.md:3: <!-- /agc --> closes nothing"),
        (f"<!-- agc paper -->\n{END}\n", "page.md:1: '<!-- agc paper -->' is neither"),
        (f'<!-- agc:answer "digits -->\n{END}\n', "page.md:1: "),
        (f"\n<!-- agc:papre -->\n{END}\n", "page.md:2: unknown block 'papre'; did you mean"),
        (f"<!-- agc:answer -->\n{END}\n", "page.md:1: block 'answer': missing a required"),
        (f"<!-- agc:answer digit -->\n{END}\n", "page.md:1: unknown study 'digit'; did you mean"),
    ],
)
def test_a_wrong_block_is_one_line_with_file_and_line(
    tmp_path: Path, text: str, message: str
) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with chdir(tmp_path), pytest.raises(UserError) as caught:
        rewritten(Path("page.md"), ROOT / "reports")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_missing_data_are_named(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"<!-- agc:answer digits -->\n{END}\n")
    (tmp_path / "reports" / "digits").mkdir(parents=True)
    with pytest.raises(UserError, match=r"page.md:1: .*records\.parquet does not exist"):
        rewritten(page, tmp_path / "reports")


def test_check_shows_what_is_stale_and_writes_nothing(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    stale = agc("readme", page, "--check")
    assert stale.code == 1
    assert "\n-stale\n" in stale.out
    assert page.read_text() == PAGE
    assert agc("readme", page).code == 0
    made = page.read_text()
    assert made.startswith("first\n<!-- agc:paper -->\nIt claims")
    assert made.endswith(f"{END}\nlast\n")
    assert agc("readme", page, "--check").code == 0
    assert agc("readme", page).out == ""


def test_a_page_without_its_data_leaves_the_others_alone(tmp_path: Path) -> None:
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    page.write_text(PAGE)
    other.write_text(f"<!-- agc:nothing -->\n{END}\n")
    assert "unknown block" in agc("readme", page, other).message
    assert page.read_text() == PAGE


# --- what stands in them --------------------------------------------------------------------------


def test_findings_say_what_was_planted(designed: tuple[Path, pd.DataFrame]) -> None:
    reports, _ = designed
    text = findings(reports, "digits")
    assert "adjustment 1 of 4 rows differ from 0" in " ".join(text.split())
    nothing = [line for line in text.splitlines() if "What no effect looks like" in line]
    assert len(nothing) == 1, "a placebo has no planned runs of its own"
    assert "placebo" in nothing[0]
    assert text.count("at equal units, planned") == 1
    assert all(len(line) <= WIDTH for line in text.splitlines())
    rows = [line for line in answer(reports, "digits").splitlines() if "| rigl | 95 % |" in line]
    assert len(rows) == 1, "neither the placebo nor the longer runs are rows of the answer"
    assert rows[0].endswith("| relevant harm |")


def test_findings_do_without_placebo_and_planned_runs(tmp_path: Path) -> None:
    records, _ = read_study(ROOT / "reports" / "digits")
    shorter = records["epochs"] == records["epochs"].min()
    few = records[shorter & (records["correction"] != "placebo")]
    text = findings(planted(tmp_path, change=few)[0], "digits")
    assert "placebo" not in text
    assert "planned" not in text
    assert "at equal epochs" in text


def test_effects_turn_their_sign_with_the_arms(designed: tuple[Path, pd.DataFrame]) -> None:
    _, records = designed
    forth = effects(records, "agc", base="placebo")
    back = effects(records, "placebo", base="agc")
    assert len(forth) == len(back) == 4
    for one, other in zip(forth, back, strict=True):
        assert one.labels == other.labels
        assert one.differences == pytest.approx(-other.differences)
        assert one.differences.mean() == pytest.approx(one.corrected.mean() - one.base.mean())


def test_contrasts_ask_for_pairs_that_there_are(designed: tuple[Path, pd.DataFrame]) -> None:
    reports, _ = designed
    assert "agc − placebo" in contrasts(reports, "digits", "agc", "placebo")
    with pytest.raises(UserError, match="two corrections each"):
        contrasts(reports, "digits", "agc")
    with pytest.raises(UserError, match="unknown correction 'acg'"):
        contrasts(reports, "digits", "acg", "none")
    with pytest.raises(UserError, match="unknown split 'method'"):
        by(reports, "method", "digits")


def test_by_leaves_out_what_is_not_split(designed: tuple[Path, pd.DataFrame]) -> None:
    reports, _ = designed
    assert len(by(reports, "recipe", "digits").splitlines()) == 2, "header and rule alone"
    lines = by(reports, "sparsity", "digits").splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| standard | agc |")


def test_the_method_that_fails_is_the_one_that_differs(tmp_path: Path) -> None:
    records, _ = read_study(ROOT / "reports" / "methods")
    few = records[records["method"].isin(["static", "set", "rigl", "gmp"])]
    few = few[few["sparsity"].isin([0.9]) & (few["correction"] == "none")].copy()
    few.loc[few["method"] == "set", "final_test_accuracy"] -= 0.4
    few.loc[few["method"] == "gmp", "final_test_accuracy"] = few.loc[
        few["method"] == "static", "final_test_accuracy"
    ].to_numpy()
    reports, _ = planted(tmp_path, "methods", few)
    text = dunnett(reports, "methods", "static")
    assert "at 90 % 1 of 3 differ" in text
    rows = [line for line in text.splitlines() if line.startswith("| 90 %")]
    assert [line.split(" | ")[1] for line in rows] == ["set"]
    with pytest.raises(UserError, match="unknown method 'dense'"):
        dunnett(reports, "methods", "dense")


def test_no_robust_row_is_left_out() -> None:
    """Three objectives × two sparsities × two corrections, and the planned ones of one."""
    lines = bsr(ROOT / "reports", "bsr").splitlines()
    assert sum(" | epochs | " in line for line in lines) == 12
    assert sum(" | units | " in line for line in lines) == 4
