"""Columns of a table in a terminal: numbers whole, words where they break, the rest left out."""

from __future__ import annotations

import pytest

from agc.reports.tables.fitting import SHORTEST, broken, fit

TABLE = [
    ["method", "none", "difference", "units"],
    ["rigl 95 %", "97.83 ± 0.49", "+0.36 [-0.15, +0.87]", "3→10"],
    ["n:m(option=value) 50 %", "97.83 ± 0.49", "+0.36 [-0.15, +0.87]", "3→10"],
]
WHOLE = 22 + 12 + 20 + 5 + 3


def test_all_columns_where_there_is_room() -> None:
    widths = fit(TABLE, WHOLE, words=[0], dispensable=[3])
    assert widths == {0: 22, 1: 12, 2: 20, 3: 5}


def test_words_break_before_a_column_is_left_out() -> None:
    widths = fit(TABLE, WHOLE - 8, words=[0], dispensable=[3])
    assert list(widths) == [0, 1, 2, 3]
    assert widths[0] < 22
    assert sum(widths.values()) + 3 <= WHOLE - 8


def test_the_most_wanted_of_the_dispensable_stays() -> None:
    assert list(fit(TABLE, 42, words=[0], dispensable=[3, 1])) == [0, 2, 3]
    assert list(fit(TABLE, 42, words=[0], dispensable=[1, 3])) == [0, 1, 2]


def test_numbers_are_whole_where_nothing_fits() -> None:
    long = [["averyveryverylongname", *row[1:]] for row in TABLE]
    assert fit(long, 20, words=[0], dispensable=[]) == {0: SHORTEST, 1: 12, 2: 20, 3: 5}


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("agc(estimator=online, gamma=1.0)", 40, ["agc(estimator=online, gamma=1.0)"]),
        ("agc(estimator=online, gamma=1.0)", 22, ["agc(estimator=", "online, gamma=1.0)"]),
        ("agc(variant=a-bsr)", 12, ["agc", "(variant=", "a-bsr)"]),
        ("flying-bird+ 80 %", 14, ["flying-bird+", "80 %"]),
        ("gain, size open (raw)", 10, ["gain, size", "open (raw)"]),
    ],
)
def test_words_break_where_a_reader_would(text: str, width: int, lines: list[str]) -> None:
    found = broken(text, width).splitlines()
    assert found == lines
    assert max(map(len, found)) <= width
