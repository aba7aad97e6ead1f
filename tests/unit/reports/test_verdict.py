"""Every word of the table of verdicts, in both directions, and the sentences they make."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agc.reports.verdict import (
    CHANGE,
    EPOCHS,
    EQUIVALENT,
    GAIN_OPEN,
    HARM_OPEN,
    NO_FINDING,
    NO_INTERVAL,
    POINTS,
    RELEVANT_GAIN,
    RELEVANT_HARM,
    SMALL_GAIN,
    SMALL_HARM,
    Measure,
    sentence,
    verdict,
)

MARGIN = 0.005
NAN = float("nan")
TABLE = [
    # 95 % interval, 90 % interval, for larger being better, for smaller being better
    ((0.006, 0.016), (0.007, 0.015), RELEVANT_GAIN, RELEVANT_HARM),
    ((0.001, 0.011), (0.002, 0.010), GAIN_OPEN, HARM_OPEN),
    ((0.001, 0.0052), (0.0015, 0.0049), SMALL_GAIN, SMALL_HARM),
    ((0.001, 0.0052), (0.0015, 0.0051), GAIN_OPEN, HARM_OPEN),
    ((0.005, 0.0100), (0.0060, 0.0090), GAIN_OPEN, HARM_OPEN),  # at the margin, not above
    ((-0.0052, 0.001), (-0.0049, 0.0008), EQUIVALENT, EQUIVALENT),
    ((-0.0052, 0.001), (-0.0050, 0.0008), NO_FINDING, NO_FINDING),  # at the margin, not inside
    ((0.0, 0.0052), (0.0005, 0.0049), EQUIVALENT, EQUIVALENT),  # 0 is in the interval
    ((-0.0048, 0.0118), (-0.0032, 0.0102), NO_FINDING, NO_FINDING),
    ((-0.0052, -0.001), (-0.0049, -0.0015), SMALL_HARM, SMALL_GAIN),
    ((-0.011, -0.001), (-0.010, -0.002), HARM_OPEN, GAIN_OPEN),
    ((-0.016, -0.006), (-0.015, -0.007), RELEVANT_HARM, RELEVANT_GAIN),
]


@pytest.mark.parametrize(("outer", "inner", "larger", "smaller"), TABLE)
def test_the_table_of_words(
    outer: tuple[float, float], inner: tuple[float, float], larger: str, smaller: str
) -> None:
    assert verdict(*outer, *inner, MARGIN).word == larger
    assert verdict(*outer, *inner, MARGIN, EPOCHS).word == smaller


def test_less_than_the_same_epochs_is_a_gain() -> None:
    assert verdict(0.5, 0.75, 0.52, 0.72, 0.8, CHANGE).word == RELEVANT_GAIN
    assert verdict(0.5, 0.95, 0.55, 0.9, 0.8, CHANGE).word == GAIN_OPEN
    assert verdict(0.79, 0.95, 0.81, 0.93, 0.8, CHANGE).word == SMALL_GAIN
    assert verdict(0.79, 1.26, 0.81, 1.24, 0.8, CHANGE).word == EQUIVALENT
    assert verdict(0.79, 1.3, 0.81, 1.26, 0.8, CHANGE).word == NO_FINDING
    assert verdict(1.05, 1.27, 1.06, 1.24, 0.8, CHANGE).word == SMALL_HARM
    assert verdict(1.3, 2, 1.4, 1.9, 0.8, CHANGE).word == RELEVANT_HARM


def test_a_ratio_without_an_end_is_open() -> None:
    assert verdict(0, 0.7, 0, 0.65, 0.8, CHANGE).word == RELEVANT_GAIN
    assert verdict(0, math.inf, 0.5, math.inf, 0.8, CHANGE).word == NO_FINDING
    found = verdict(0, math.inf, 0.5, math.inf, 0.8, CHANGE)
    assert "[-100.0, +∞] remains possible" in sentence(0.9, found, 0.6)


def test_without_an_interval_there_is_no_verdict() -> None:
    found = verdict(NAN, NAN, NAN, NAN, MARGIN)
    assert found.word == NO_INTERVAL
    assert sentence(0.01, found) == "no interval: +1.00 points, and nothing tells its spread"
    assert sentence(NAN, found) == "no interval: no estimate"


def test_bad_margins_and_intervals_are_refused() -> None:
    with pytest.raises(ValueError, match="above 0 in points"):
        verdict(0, 1, 0, 1, 0.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        verdict(0.5, 1, 0.5, 1, 1.25, CHANGE)
    with pytest.raises(ValueError, match="the second within"):
        verdict(0.1, 0.2, 0.0, 0.3, MARGIN)


@pytest.mark.parametrize(
    ("effect", "outer", "inner", "expected"),
    [
        (
            *(0.012, (0.0071, 0.0169), (0.008, 0.016)),
            "relevant gain: +1.20 points [+0.71, +1.69], margin ±0.50 points",
        ),
        (
            *(-0.0206, (-0.0261, -0.0152), (-0.025, -0.016)),
            "relevant harm: -2.06 points [-2.61, -1.52], margin ±0.50 points",
        ),
        (
            *(-0.0015, (-0.0046, 0.0017), (-0.0041, 0.0012)),
            "equivalent within ±0.50 points: -0.15 points [-0.46, +0.17],"
            " with 90 % confidence [-0.41, +0.12]",
        ),
        (
            *(0.0035, (-0.0048, 0.0118), (-0.0032, 0.0102)),
            "no finding: +0.35 points, anything in [-0.48, +1.18] remains possible;"
            " smallest detectable effect 1.05 points",
        ),
    ],
)
def test_sentences(
    effect: float, outer: tuple[float, float], inner: tuple[float, float], expected: str
) -> None:
    assert sentence(effect, verdict(*outer, *inner, MARGIN), 0.0105) == expected


def test_a_ratio_is_written_as_a_change() -> None:
    found = verdict(0.7, 1.15, 0.73, 1.1, 0.8, CHANGE)
    assert sentence(0.9, found, 0.71) == (
        "no finding: -10.0 % epochs, anything in [-30.0, +15.0] remains possible;"
        " smallest detectable effect -29.0 % epochs"
    )
    found = verdict(0.85, 1.15, 0.86, 1.1, 0.8, CHANGE)
    assert sentence(1.0, found) == (
        "equivalent within -20.0 to +25.0 % epochs: 0.0 % epochs [-15.0, +15.0],"
        " with 90 % confidence [-14.0, +10.0]"
    )


@given(st.lists(st.floats(-0.05, 0.05), min_size=4, max_size=4).map(sorted), st.floats(0, 0.1))
def test_no_finding_always_says_what_could_have_been_found(
    ends: list[float], detectable: float
) -> None:
    low, low90, high90, high = ends
    found = verdict(low, high, low90, high90, MARGIN)
    text = sentence((low + high) / 2, found, detectable)
    assert text.startswith(found.word)
    assert ("smallest detectable effect" in text) == (found.word == NO_FINDING)
    assert "[" in text
    if found.word == NO_FINDING:
        with pytest.raises(ValueError, match="smallest detectable"):
            sentence(0.0, found)


@pytest.mark.parametrize(
    ("effect", "digits", "written"),
    [
        (0.04348, 1, "+4.3"),  # by way of +4.35 it would be +4.4
        (-0.00749, 1, "-0.7"),  # by way of -0.75 it would be -0.8
        (0.00285, 2, "+0.28"),  # ties go to the even digit …
        (0.00295, 2, "+0.30"),
        (-0.0000004, 2, "0.00"),  # … and nothing is negative when it reads as 0
        (0.1, 2, "+10.00"),
    ],
)
def test_numbers_are_rounded_once(effect: float, digits: int, written: str) -> None:
    measure = Measure("points", factor=100.0, digits=digits)
    found = verdict(-0.3, 0.3, -0.2, 0.2, 0.5, measure)
    assert f": {written} points [" in sentence(effect, found)


def test_bounds_get_the_digits_that_the_word_needs() -> None:
    """[+0.00, +0.35] would not read as a gain, nor [-0.50, …] as within ±0.50."""
    assert "[+0.001, +0.350]" in sentence(0.002, verdict(1e-5, 0.0035, 1e-4, 0.003, MARGIN))
    text = sentence(0.0, verdict(-0.006, 0.006, -0.004997, 0.004, MARGIN))
    assert "within ±0.5000 points" in text
    assert "[-0.4997, +0.4000]" in text
    whole = verdict(0.0, 0.0035, 0.001, 0.003, MARGIN)
    assert "[0.00, +0.35]" in sentence(0.002, whole)


def test_points_are_fractions() -> None:
    assert POINTS.factor == 100
    assert np.isnan(verdict(NAN, 1, 0, 1, MARGIN).low)
