"""Which cells two sets have in common, and what makes them the same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agc.errors import UserError
from agc.reports.same_cells import match_cells
from tests.support.two_sets import Study, first_set


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return first_set(tmp_path_factory.mktemp("study"), seeds=2)


def renamed(study: Study, revision: int = 2) -> Study:
    """As another revision would have them: the same labels, other slugs, in another order."""
    records, epochs = (own.assign(slug=own["slug"] + "x") for own in study)
    return records.assign(revision=revision)[::-1], epochs


def test_a_set_has_the_bits_of_itself_in_whatever_order(study: Study) -> None:
    records, epochs = study
    same = match_cells(study, (records[::-1], epochs[::-1]))
    assert (same.by, same.only_here, same.only_there, same.unlike) == ("slug", 0, 0, ())
    assert len(same.here) == 16
    assert same.identical.all()
    assert same.alike.all()
    assert same.other_status == 0


def test_times_machines_and_warnings_are_no_results(study: Study) -> None:
    records, epochs = study
    others = records.assign(seconds_train=1e6, provenance_torch="9", warnings="slow")
    others = others.drop(columns="provenance_hostname").assign(correction_in_full="agc()")
    same = match_cells(study, (others, epochs.assign(train_seconds=9.0)))
    assert same.identical.all()


@pytest.mark.parametrize("column", ["final_test_loss", "best_epoch", "units", "active"])
def test_each_result_of_a_record_counts(study: Study, column: str) -> None:
    records = study[0].copy()
    records.loc[3, column] += 1
    assert np.flatnonzero(~match_cells(study, (records, study[1])).identical).tolist() == [3]


@pytest.mark.parametrize("column", ["test_accuracy", "sparsity", "tau", "coefficient"])
def test_each_result_of_an_epoch_counts(study: Study, column: str) -> None:
    records, epochs = study[0], study[1].copy()
    at = epochs.index[epochs[column].notna()][5]
    epochs.loc[at, column] = np.nextafter(epochs.loc[at, column], 2)
    same = match_cells(study, (records, epochs))
    assert list(same.here["slug"][~same.identical]) == [epochs.loc[at, "slug"]]
    # A number that is lacking is none that is equal.
    epochs.loc[at, column] = np.nan
    assert (~match_cells(study, (records, epochs)).identical).sum() == 1


def test_an_epoch_less_is_no_identity(study: Study) -> None:
    same = match_cells(study, (study[0], study[1].iloc[:-1]))
    assert (~same.identical).sum() == (~same.alike).sum() == 1


def test_cells_that_learnt_the_same_may_be_counted_or_attacked_otherwise(study: Study) -> None:
    records, epochs = study
    others = records.assign(training_flops=1.0)
    others.loc[0, "final_robust_accuracy"] = 0.123
    same = match_cells(study, (others, epochs.assign(flops=2.0)))
    assert not same.identical.any()
    assert same.alike.all()
    assert {*same.unlike} == {"final_robust_accuracy", "training_flops", "flops"}


def test_cells_of_one_set_alone_are_counted(study: Study) -> None:
    records, epochs = study
    others = records.iloc[3:].copy()
    others.loc[5, "status"] = "out of memory"
    others.loc[6, "status"] = "diverged"
    same = match_cells((records.iloc[:12], epochs), (others, epochs))
    assert len(same.here) == 8
    assert (same.only_here, same.only_there, same.other_status) == (4, 4, 1)
    assert list(same.here["slug"]) == list(same.there["slug"])


def test_without_a_slug_in_common_labels_match(study: Study) -> None:
    same = match_cells(study, renamed(study))
    assert same.by == "labels"
    assert same.revisions == ([1], [2])
    assert [slug + "x" for slug in same.here["slug"]] == list(same.there["slug"])
    assert same.identical.all()
    records, epochs = renamed(study)
    # A later axis has a column only where a cell has another entry than its default.
    assert match_cells(study, (records.assign(optimizer="sgd"), epochs)).identical.all()
    with pytest.raises(UserError, match="no cell in common"):
        match_cells(study, (records.assign(optimizer="adam"), epochs))


def test_labels_do_not_make_cells_of_other_sizes_the_same(study: Study) -> None:
    records, epochs = renamed(study)
    with pytest.raises(UserError, match="is another cell: 12 epochs here, 24 there"):
        match_cells(study, (records.assign(epochs=24), epochs))


def test_what_are_no_sets_of_the_same_cells_is_refused(study: Study) -> None:
    records, epochs = study
    with pytest.raises(UserError, match="no cell in common"):
        match_cells(
            study, (records.assign(slug=records["slug"] + "x", seed=records["seed"] + 77), epochs)
        )
    with pytest.raises(UserError, match="the other set has two rows for one cell"):
        match_cells(study, (pd.concat([records, records]), epochs))
    with pytest.raises(UserError, match="is there twice"):
        match_cells(study, (records, pd.concat([epochs, epochs])))


def test_a_cell_without_an_epoch_is_compared_by_its_record(study: Study, tmp_path: Path) -> None:
    records, epochs = study
    gone = epochs[epochs["slug"] != records["slug"].iloc[0]]
    assert match_cells((records, gone), (records, gone)).identical.all()
