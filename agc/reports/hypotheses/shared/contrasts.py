"""Differences between arms of the study, paired by seed and pooled over rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agc.reports.arms import finished, paired
from agc.reports.hypotheses.shared.parts import Bounds, Part, Rule, make_part
from agc.reports.pooling import pool

if TYPE_CHECKING:
    import pandas as pd

ACCURACY = "final_test_accuracy"
ROBUST = "final_robust_accuracy"

Values = NDArray[np.float64]


def arm(records: pd.DataFrame, **wanted: Any) -> pd.DataFrame:
    """The runs that have these values in these columns, a value or one of several.

    ``correction`` is the label in full (:func:`agc.reports.labels.label_in_full`): the name, and
    all options that are not the entry's default. ``method`` is the name alone: which of its options
    a label has depends on what other stages have, such as another number of steps between updates.
    """
    found = records
    for column, value in wanted.items():
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        name = "correction_in_full" if column == "correction" else column
        own = found[name]
        if column == "method":
            own = own.map(lambda label: label.partition("(")[0])
        found = found[own.isin(values)]
    return found


def with_recipe(records: pd.DataFrame, text: str) -> Values:
    """Which runs have ``text``, such as ``batch_size=32``, in the label of their recipe; bool."""
    return np.array([text in label.split(", ") for label in records["recipe"]], dtype=bool)


def contrast(
    what: str,
    pairs: Iterable[tuple[pd.DataFrame, pd.DataFrame]],
    rule: Rule,
    column: str = ACCURACY,
    *,
    deciding: bool = True,
) -> list[Part]:
    """Second arm minus first, paired by seed, pooled over rows with equal weight.

    Args:
        what: what is compared.
        pairs: two arms of each row; a row of one pair has the spread of its sparsity.
        rule: what it is judged by, in fractions.
        column: of the records.
        deciding: whether the hypothesis is decided by it.

    Returns:
        The one part; none where no row has a pair.

    Raises:
        ValueError: an arm has two runs of one seed, so that it is not one arm.
    """
    rows, groups = [], []
    for one, other in pairs:
        for runs in (one, other):
            _refuse_twins(what, runs)
        differences = paired(finished(one), finished(other), column)
        differences = differences[~np.isnan(differences)]
        if len(differences):
            rows.append(differences)
            groups.append(other["sparsity"].iloc[0])
    return of_values(what, rows, rule, groups, deciding=deciding)


def of_values(
    what: str,
    rows: Sequence[Values],
    rule: Rule,
    groups: Sequence[Hashable] | None = None,
    *,
    deciding: bool = True,
) -> list[Part]:
    """The part that rows of values, one a seed, make; none without a value."""
    if not rows:
        return []
    found = pool(rows, rule.margin, groups)
    bounds = Bounds(found.low, found.high, found.low90, found.high90)
    if found.n > 1 and not np.concatenate(rows).any():
        # Arms that gave the same in every pair leave no spread to make an interval of.
        bounds = Bounds(0.0, 0.0, 0.0, 0.0)
    return [
        make_part(
            what,
            found.mean,
            bounds,
            rule,
            p=found.p,
            rows=found.k,
            pairs=found.n,
            detectable=found.mde,
            deciding=deciding,
        )
    ]


def by_row(
    records: pd.DataFrame,
    one: Callable[[pd.DataFrame], pd.DataFrame],
    other: Callable[[pd.DataFrame], pd.DataFrame],
) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """Two arms of each data set × network × objective × method × sparsity of some records.

    Args:
        records: of the stages.
        one: picks the first arm of a row's runs.
        other: picks the second.
    """
    names = ["dataset", "architecture", "objective", "method", "sparsity"]
    return [(one(runs), other(runs)) for _, runs in records.groupby(names, sort=True)]


def seed_differences(one: pd.DataFrame, other: pd.DataFrame, column: str = ACCURACY) -> pd.Series:
    """Second arm minus first for each of their common seeds, by seed.

    Raises:
        ValueError: an arm has two runs of one seed, so that it is not one arm.
    """
    for runs in (one, other):
        _refuse_twins(column, runs)
    first, second = finished(one)[column], finished(other)[column]
    return (second - first).dropna().sort_index()


def _refuse_twins(what: str, runs: pd.DataFrame) -> None:
    if runs["seed"].duplicated().any():
        raise ValueError(f"{what}: an arm of a row has two runs of one seed")
