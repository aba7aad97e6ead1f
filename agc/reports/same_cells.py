"""The cells that two sets of records have in common, and which of them have the same bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agc.errors import UserError
from agc.grids.axes import AXES
from agc.records.failure import WITHOUT_RESULT
from agc.reports.predictions import COURSE

if TYPE_CHECKING:
    import pandas as pd

    Study = tuple[pd.DataFrame, pd.DataFrame]
    """Records and epochs, as ``read_study`` returns them."""

GIVEN = ("sparsity", "seed", "revision", "lr")
"""Numbers of a record that its cell was given; all others are results, but for times."""
SIZES = ("epochs", "steps", "weights")
"""What cells with the same labels must agree in to be the same cells."""


@dataclass(frozen=True)
class SameCells:
    """The cells of two sets, ``here`` and ``there``, that have a result in both.

    Attributes:
        here: records of the common cells, sorted by slug.
        there: the other set's records of the same cells in the same order, under its own slugs.
        by: ``slug`` or ``labels``: how they were matched.
        only_here: number of cells with a result that the other set has not.
        only_there: number of cells with a result that this set has not.
        identical: for each cell whether all that was measured is equal, in each epoch.
        alike: for each cell whether the status is, and each epoch's losses and clean accuracies.
        unlike: what differs in cells that are alike and not identical: what an attack found, or
            what was counted, such as FLOPs.
    """

    here: pd.DataFrame
    there: pd.DataFrame
    by: str
    only_here: int
    only_there: int
    identical: NDArray[np.bool_]
    alike: NDArray[np.bool_]
    unlike: tuple[str, ...]

    @property
    def revisions(self) -> tuple[list[int], list[int]]:
        """Revisions of the common cells, here and there."""
        one, other = (sorted(map(int, set(own["revision"]))) for own in (self.here, self.there))
        return one, other

    @property
    def other_status(self) -> int:
        """How many cells finished in one set and diverged in the other."""
        return int((self.here["status"] != self.there["status"]).sum())


def match_cells(here: Study, there: Study) -> SameCells:
    """Find the cells that both have, by slug, or by labels if they have no slug in common.

    A revision changes all slugs. Labels are entries on each axis, sparsity, recipe and seed; what
    all cells of a set have in common stands in none, so that such cells must also agree in
    :data:`SIZES`. Cells without a result (out of memory, unfinished) count as not there.

    Raises:
        UserError: no cell in common, a cell twice in a set, or equal labels and other sizes.
    """
    (records, epochs), (others, other_epochs) = here, there
    mine = records[~records["status"].isin(WITHOUT_RESULT)].sort_values("slug", ignore_index=True)
    theirs = others[~others["status"].isin(WITHOUT_RESULT)]
    by, key, other_key = "slug", list(mine["slug"]), list(theirs["slug"])
    if not {*key} & {*other_key}:
        axes = [name for name in AXES if name in mine or name in theirs]
        by, key, other_key = "labels", _labels(mine, axes), _labels(theirs, axes)
    for keys, where in ((key, "this set"), (other_key, "the other set")):
        if len({*keys}) < len(keys):
            raise UserError(f"{where} has two rows for one cell: `agc collect GRID` makes it anew")
    common = [place for place, own in enumerate(key) if own in {*other_key}]
    if not common:
        raise UserError(
            "the two sets have no cell in common: neither a slug, nor entries, sparsity, recipe "
            "and seed"
        )
    place_of = {own: place for place, own in enumerate(other_key)}
    one = mine.iloc[common].reset_index(drop=True)
    other = theirs.iloc[[place_of[key[place]] for place in common]].reset_index(drop=True)
    if by == "labels":
        _refuse_other_sizes(one, other)
    identical, alike, unlike = _bits((one, epochs), (other, other_epochs))
    return SameCells(
        here=one,
        there=other,
        by=by,
        only_here=len(mine) - len(one),
        only_there=len(theirs) - len(one),
        identical=identical,
        alike=alike,
        unlike=unlike,
    )


def _labels(records: pd.DataFrame, axes: list[str]) -> list[tuple[object, ...]]:
    """What names each cell but for its slug; a later axis that has no column has its default."""
    columns = [
        records[name].fillna("") if name in records else [AXES[name].default or ""] * len(records)
        for name in axes
    ]
    columns += [records["sparsity"], records["recipe"].fillna(""), records["seed"]]
    return list(zip(*columns, strict=True))


def _refuse_other_sizes(here: pd.DataFrame, there: pd.DataFrame) -> None:
    finished = (here["status"] == "finished") & (there["status"] == "finished")
    for size in SIZES:
        if size not in here or size not in there:
            continue
        for name, one, other in zip(
            here.loc[finished, "slug"],
            here.loc[finished, size],
            there.loc[finished, size],
            strict=True,
        ):
            if one != other:
                raise UserError(
                    f"no slug is in both sets, and what has the labels of {name} is another cell: "
                    f"{one} {size} here, {other} there"
                )


def _bits(
    here: Study, there: Study
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], tuple[str, ...]]:
    """``identical``, ``alike`` and ``unlike`` of two sets whose records are in the same order."""
    import pandas as pd

    slugs = here[0]["slug"]
    mine = _by_epoch(here[1], dict(zip(slugs, slugs, strict=True)))
    theirs = _by_epoch(there[1], dict(zip(there[0]["slug"], slugs, strict=True)))
    index = mine.index.union(theirs.index)
    each = _equal(mine.reindex(index), theirs.reindex(index), ())
    # A cell that diverged in its first epoch has no row.
    curves = each.groupby(level="slug").all().reindex(slugs, fill_value=True)
    equal = _equal(here[0], there[0], GIVEN)
    everything = pd.concat([equal, curves.reset_index(drop=True)], axis=1)
    learnt = [
        name.endswith(("status", "there", "_loss", "_accuracy")) and "robust" not in name
        for name in everything
    ]
    identical = everything.all(axis=1).to_numpy(bool)
    alike = everything.loc[:, learnt].all(axis=1).to_numpy(bool)
    some = everything[alike & ~identical].all()
    unlike = tuple(dict.fromkeys(name for name, same in some.items() if not same))
    return identical, alike, unlike


def _by_epoch(epochs: pd.DataFrame, named: dict[str, str]) -> pd.DataFrame:
    """Rows of the common cells by their slug here and epoch; ``there`` marks that they are."""
    rows = epochs[epochs["slug"].isin(list(named))]
    rows = rows.assign(slug=rows["slug"].map(named), there=True).set_index(["slug", "epoch"])
    if rows.index.has_duplicates:
        slug, epoch = rows.index[rows.index.duplicated()][0]
        raise UserError(
            f"epoch {epoch} of {slug} is there twice: `agc collect GRID` makes the tables anew"
        )
    return rows


def _equal(one: pd.DataFrame, other: pd.DataFrame, given: Sequence[str]) -> pd.DataFrame:
    """Where the measured columns that both have are equal; what both lack is."""
    import pandas as pd

    columns = [name for name in _measured(one, given) if name in {*_measured(other, given)}]
    return pd.DataFrame(
        {name: _objects(one[name]) == _objects(other[name]) for name in columns}, index=one.index
    )


def _measured(frame: pd.DataFrame, given: Sequence[str]) -> list[str]:
    """Columns of results: the status, and all numbers but what was given and what time it took."""
    words = [name for name in ("status", "there") if name in frame]
    numbers = frame.select_dtypes(["number"])
    return words + [
        name
        for name in numbers
        if name not in (*given, COURSE)
        and not name.startswith("seconds_")
        and not name.endswith("_seconds")
    ]


def _objects(column: pd.Series[Any]) -> NDArray[np.object_]:
    values = column.astype(object)
    return np.array(values.where(values.notna(), None), dtype=object)
