"""The forest of all hypotheses: every estimate once, legible, an arrow beyond the axis."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agc.reports.figures.hypotheses import draw_hypotheses, write_hypotheses
from agc.reports.figures.style import style
from agc.reports.findings import hypotheses
from agc.reports.hypotheses.base import Finding
from agc.reports.hypotheses.shared.parts import Bounds, Part, above, make_part, ratio_at_most
from agc.reports.verdict import CHANGE, NOT_RUN, OPEN
from tests.support.figure_problems import assert_all_on_the_canvas, assert_texts_are_apart


def part(value: float, what: str = "agc(estimator=online, gamma=1.0) - none, some rows") -> Part:
    ends = (value - 0.002, value + 0.002, value - 0.0015, value + 0.0015)
    return make_part(what, value, Bounds(*ends), above(0.005, 0.005), p=0.5, pairs=10)


def ratio(value: float) -> Part:
    ends = Bounds(0.9 * value, 1.1 * value, 0.92 * value, 1.08 * value)
    return make_part("epochs", value, ends, ratio_at_most(0.8), measure=CHANGE)


@pytest.fixture
def findings() -> list[Finding]:
    """As many estimates as the whole study has."""
    asked = hypotheses()
    parts = [[part(0.001 * number)] * (5 if number % 4 else 1) for number in range(len(asked))]
    parts[2] = [ratio(0.9), ratio(2.9)]
    return [Finding(one, own, OPEN, np.nan) for one, own in zip(asked, parts, strict=True)]


def test_the_largest_forest_is_legible_and_on_its_page(findings: list[Finding]) -> None:
    for number in (1, 4, 8, 14):
        with style():
            figure = draw_hypotheses(findings[:number])
        assert figure is not None
        for axis in figure.axes:
            figure.draw_without_rendering()
            assert_texts_are_apart([*axis.get_yticklabels(), *axis.texts])
            assert_texts_are_apart(axis.get_xticklabels())
    some = [one._replace(parts=one.parts[:3]) for one in findings]
    with style():
        assert_all_on_the_canvas(draw_hypotheses(some))


def test_each_estimate_stands_at_its_place_in_its_unit(findings: list[Finding]) -> None:
    with style():
        figure = draw_hypotheses([findings[0], findings[2], findings[3]])
    points, ratios = figure.axes
    assert (points.get_xlabel(), ratios.get_xlabel()) == ("percentage points", "ratio, logarithmic")
    markers = [line.get_xdata()[0] for line in points.lines if line.get_marker() in ("o", "s")]
    np.testing.assert_allclose(markers, [0.0, *[0.3] * 5], atol=1e-12)
    markers = [line.get_xdata()[0] for line in ratios.lines if line.get_marker() in ("o", "s")]
    np.testing.assert_allclose(markers, [0.9])
    # The other ratio is beyond the axis.
    assert [line.get_marker() for line in ratios.lines].count(">") == 1
    assert "+190.0 % epochs" in [text.get_text() for text in ratios.texts]


def test_files_are_small_and_none_without_an_estimate(
    findings: list[Finding], tmp_path: Path
) -> None:
    paths = write_hypotheses(findings, tmp_path)
    names = ["hypotheses.png", "figures/hypotheses.svg"]
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == names
    assert paths[0].stat().st_size < 105_000
    empty = [one._replace(parts=[], word=NOT_RUN) for one in findings]
    assert draw_hypotheses(empty) is None
    assert write_hypotheses(empty, tmp_path / "none") == []
