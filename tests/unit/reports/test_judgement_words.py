"""Texts judge by the verdict's words alone, and hand-written prose has no number of a study."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agc.reports import verdict
from agc.reports.blocks import BLOCKS, find_blocks
from agc.reports.findings import hypotheses
from agc.reports.pages.base import Context
from agc.reports.verdict import DIRECTED
from tests.support.generated_texts import (
    GRID,
    LADDER,
    OF_HYPOTHESES,
    Made,
    block,
    page_and_tables,
)
from tests.support.study_pages import whole_text
from tests.support.text_sources import named_systems

ROOT = Path(__file__).parents[3]
PAGES = (ROOT / "README.md", ROOT / "reports" / "README.md")
WORDS = re.compile(
    r"\b(?:wins?|won|winner|loss|losses|loses?|lost|best|better|worse|worst|significant\w*"
    r"|outperform\w*|beats?|superior|inferior|improve\w*|helps?|hurts?|good|bad|successful\w*"
    r"|fails?|remarkabl\w*|robustly|clearly|effective\w*|promising)\b",
    re.IGNORECASE,
)
PHRASES = {
    "Best: epoch of the best validation accuracy": "defines which epoch of a run a column has",
    "none, best": "a header: accuracy at that epoch",
    "corrected, best": "a header: accuracy at that epoch",
    "a tenth of clean loss": "a share of the loss that is trained on",
    "steps to a loss of fine-tuned networks": "what a grid predicts",
    **{hypothesis.asks: "a question" for hypothesis in hypotheses()},
}
"""What may have such a word, and why it judges nothing."""
VERDICTS = {*DIRECTED, verdict.EQUIVALENT, verdict.NO_FINDING, verdict.NO_INTERVAL}
NOTHING = {"–", ""}
"""Of a cell without a difference."""

PROSE_NUMBERS = {
    "Python 3.11": "the oldest version that it runs with",
    "Apache 2.0": "the name of the licence",
    "95 % interval": "the confidence of every interval",
    "95 % t interval": "the same",
    "90 % interval": "the confidence of the two tests for equivalence",
    "`mean ± sd (n)`": "how a cell is written",
    "mean ± standard deviation": "how a cell is written",
}
"""What hand-written prose may have of decimals, ± and %, and why it is no number of a study."""
_NUMBER = re.compile(r"\d\.\d|±|%")


def judging(text: str) -> list[str]:
    """Lines with a word of judgement, but for the allowed phrases."""
    for phrase in PHRASES:
        text = text.replace(phrase, "")
    return [line for line in text.splitlines() if WORDS.search(line)]


def verdict_cells(text: str) -> list[str]:
    """All cells of the columns of Markdown tables that are headed ``verdict``."""
    cells, header = [], []
    for before, line in zip(["", *text.splitlines()], text.splitlines(), strict=False):
        row = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if line.startswith("| :--"):
            header = [cell.strip() for cell in before.strip("| ").split(" | ")]
        elif not line.startswith("|"):
            header = []
        elif header:
            cells += [cell for name, cell in zip(header, row, strict=True) if name == "verdict"]
    return cells


def other_verdicts(text: str) -> set[str]:
    """What stands in such cells and is no verdict; ``(raw)`` may stand behind one."""
    return {cell.removesuffix(" (raw)") for cell in verdict_cells(text)} - VERDICTS - NOTHING


def divided(path: Path) -> tuple[str, str]:
    """A page's generated blocks, and its prose: neither those nor blocks of code."""
    text = path.read_text(encoding="utf-8")
    lines, generated = text.splitlines(), []
    for found in reversed(find_blocks(text, path.name)):
        generated += [*lines[found.first + 1 : found.last], ""]
        del lines[found.first : found.last + 1]
    return "\n".join(generated), re.sub(r"(?ms)^```.*?^```$", "", "\n".join(lines))


def test_pages_tables_and_terminal_do_not_judge(studies: dict[str, Made], tmp_path: Path) -> None:
    for study in (GRID, LADDER):
        texts = page_and_tables(studies[study], tmp_path / study)
        for name, text in texts.items():
            assert not judging(text), name
            assert other_verdicts(text) == set()
        for name in ("pooled.md", "claims.md", "accuracy.md", "calibration.md", "README.md"):
            assert verdict_cells(texts[name]), name


def test_the_page_of_a_study_does_not_judge(study_page: tuple[Path, Context]) -> None:
    out, context = study_page
    for text in (whole_text(context), (out / "README.md").read_text(encoding="utf-8")):
        assert judging(text) == []
        assert other_verdicts(text) == set()
    assert verdict_cells(whole_text(context))


def without_claims(text: str) -> str:
    """What is left when the papers' own claims are taken out: they may judge."""
    for claim in sorted(named_systems(), key=len, reverse=True):
        text = text.replace(claim, "")
    return text


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_blocks_of_pages_do_not_judge(
    name: str, studies: dict[str, Made], study_page: tuple[Path, Context]
) -> None:
    staged = name in OF_HYPOTHESES
    text = block(study_page[0].parent if staged else studies[GRID].reports, name)
    text = without_claims(text)
    assert not judging(text)
    assert other_verdicts(text) == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_judge_nothing_and_have_no_number_beside_their_blocks(path: Path) -> None:
    generated, prose = divided(path)
    generated = without_claims(generated)
    assert len(generated) > 1000
    assert not judging(generated)
    assert other_verdicts(generated) == set()
    # A phrase may be divided between two lines.
    prose = re.sub(r"\s+", " ", prose)
    for phrase in PROSE_NUMBERS:
        prose = prose.replace(phrase, "")
    assert [prose[max(0, m.start() - 40) : m.end() + 40] for m in _NUMBER.finditer(prose)] == []


def test_a_word_or_a_number_that_is_planted_is_found(tmp_path: Path) -> None:
    lines = ["AGC wins in 3 of 5 rows", "Best: epoch of the best validation accuracy", "Best: 1"]
    assert judging("\n".join(lines)) == [lines[0], lines[2]]
    table = "| a | verdict |\n| :--- | ---: |\n| 1 | a win |\n| 2 | no finding |\n"
    assert other_verdicts(table) == {"a win"}
    page = tmp_path / "page.md"
    page.write_text("Up 5.0 %\n<!-- agc:paper -->\n5.1\n<!-- /agc -->\n```sh\nx 5.2\n```\nend\n")
    generated, prose = divided(page)
    assert (generated.split(), prose.split()) == (["5.1"], ["Up", "5.0", "%", "end"])
