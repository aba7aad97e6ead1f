"""Published figures: whole, in agreement with each other, and covered only by runs of the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agc.grids.axes import AXES
from agc.registry import CORRECTIONS, METHODS
from agc.reports.labels import label_in_full
from agc.reports.published import KEY, SMALL, TABLE, Beside, beside_published, read_published
from tests.support.records import collected, entry, write_cell

PAPER = "PMLR 234:341-378 (CPAL 2024), arXiv 2301.03573"
A_BSR, A_ITOP = "agc(variant=a-bsr)", "agc(variant=a-itop)"


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return read_published()


def paper(table: pd.DataFrame, **fields: Any) -> pd.DataFrame:
    """Rows of the paper with these values."""
    rows = table[table["source"] == PAPER]
    for name, value in fields.items():
        rows = rows[rows[name] == value]
    return rows


# --- the file ---------------------------------------------------------------------------------


def test_every_published_row_is_complete_and_says_its_source(table: pd.DataFrame) -> None:
    # Some sources do not state the sparsity: such a row is kept and matches nothing.
    named = [name for name in KEY if name != "sparsity"]
    assert not table[[*named, "source", "metric", "mean"]].isna().any().any()
    assert table["mean"].between(0, 100).all()
    assert table["std"].dropna().between(0, 5).all()
    assert table["sparsity"].dropna().between(0, 1, inclusive="left").all()
    assert (table.loc[table["method"] == "dense", "sparsity"] == 0).all()
    assert (table["epochs"].dropna() >= 1).all()
    known = table.dropna(subset=["epochs", "epoch"])
    assert (known["epoch"] <= known["epochs"]).all()


def test_no_row_is_lost_or_doubled() -> None:
    raw = pd.read_csv(TABLE)
    assert len(raw) == 691
    assert not raw.duplicated([name for name in raw if name not in ("mean", "std", "note")]).any()
    counts = raw[raw["source"] == PAPER]["note"].str.extract(r"(Tables? \d+|Figure \d+)")[0]
    assert dict(counts.value_counts()) == {
        "Table 1": 72,  # 3 objectives × 2 sparsities × 2 arms × 6 epochs
        "Table 2": 32,  # 2 × 2 × 2 × 4
        "Table 3": 4,
        "Table 5": 12,
        "Table 6": 112,  # 2 × 2 × 6: two arms clean and robust; ours robust but for Table 2's 8
        "Table 7": 12,
        "Tables 4": 8,  # clean, with standard deviations
        "Table 8": 16,  # robust, and HYDRA's
        "Table 9": 10,
        "Table 10": 20,
        "Figure 3": 6,
        "Figure 5": 2,
        "Figure 31": 6,
    }
    assert (raw["source"].str.startswith("wyzjack/AdaM3")).sum() == 15
    assert (~raw["source"].str.startswith(("PMLR", "wyzjack"))).sum() == 364


def test_published_methods_are_spelt_as_ours(table: pd.DataFrame) -> None:
    wanted = {"dense", "static", "set", "rigl", "snfs", "gmp", "deepr", "srigl", "rigl-itop"}
    wanted |= {"flying-bird", "flying-bird+", "top-kast", "n:m", "small-dense", "bsr", "set-itop"}
    assert wanted <= set(table["method"]) & set(METHODS.names())


def test_published_corrections_are_labels_of_ours_in_full(table: pd.DataFrame) -> None:
    spelt = set(table["correction"])
    theirs = {"mvr", "mvr+agc"}
    assert theirs < spelt
    for text in sorted(spelt - theirs):
        name, _, rest = text.rstrip(")").partition("(")
        given = dict(pair.split("=") for pair in rest.split(", ") if pair)
        values = {key: _value(value) for key, value in given.items()}
        options = CORRECTIONS.resolve(name, values)
        cell = {"correction": {"name": name, "options": options}}
        assert label_in_full(AXES["correction"], cell) == text


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text


# --- what the paper's tables say of each other ------------------------------------------------


def gaps(table: pd.DataFrame, **fields: Any) -> pd.Series:
    """A-BSR-Net minus BSR-Net by epoch, CIFAR-10, VGG-16, in points."""
    rows = paper(table, architecture="vgg16_bsr", dataset="cifar10", method="bsr", **fields)
    ours, plain = (
        rows[rows["correction"] == name].set_index("epoch")["mean"] for name in (A_BSR, "none")
    )
    return (ours - plain).dropna().sort_index()


def test_five_percent_is_a_mean_over_budgets_and_not_the_end(table: pd.DataFrame) -> None:
    by_setting = {
        (objective, sparsity): gaps(table, objective=objective, sparsity=sparsity, metric="top1")
        for objective in ("standard", "pgd-at", "trades")
        for sparsity in (0.9, 0.99)
    }
    best = by_setting["standard", 0.99]
    assert list(best.index) == [20, 40, 70, 90, 140, 200]
    np.testing.assert_allclose(best, [9.2, 11.1, 4.0, 3.4, 1.2, 1.3], atol=1e-9)
    assert round(best.mean(), 1) == 5.0
    # Claimed as the largest: of the six settings it is.
    assert max(by_setting, key=lambda key: by_setting[key].mean()) == ("standard", 0.99)
    means = {key: round(series.mean(), 2) for key, series in by_setting.items()}
    assert means["standard", 0.9] == 3.73
    assert (means["pgd-at", 0.9], means["pgd-at", 0.99]) == (2.73, 2.78)
    assert (means["trades", 0.9], means["trades", 0.99]) == (1.02, 0.33)
    last = {key: round(series.iloc[-1], 1) for key, series in by_setting.items()}
    assert last["standard", 0.99] == 1.3
    assert max(last.values()) == 1.7
    # "as high as 11.4 %" within limited time
    assert max(round(series.loc[20], 1) for series in by_setting.values()) == 11.4


def test_robust_gaps_shrink_or_turn_at_the_end(table: pd.DataFrame) -> None:
    found = {
        (objective, sparsity): gaps(table, objective=objective, sparsity=sparsity, metric="robust")
        for objective in ("pgd-at", "trades")
        for sparsity in (0.9, 0.99)
    }
    late = {key: series.loc[[70, 90, 140, 200]] for key, series in found.items()}
    rounded = {key: (round(s.mean(), 1), round(s.iloc[-1], 1)) for key, s in late.items()}
    assert rounded == {
        ("pgd-at", 0.9): (4.3, 1.3),
        ("pgd-at", 0.99): (2.2, -0.2),
        ("trades", 0.9): (4.7, -1.0),
        ("trades", 0.99): (4.5, 1.9),
    }


def test_figures_and_tables_agree_where_they_show_the_same(table: pd.DataFrame) -> None:
    digitised = table["note"].str.startswith("digitised")
    for network in ("vgg16_c", "resnet34_cifar"):
        rows = table[(table["architecture"] == network) & (table["correction"] == A_ITOP)]
        rows = rows[rows["method"] == "set-itop"]
        read = rows[digitised.loc[rows.index]]["mean"].item()
        printed = rows[rows["epoch"] == 240]["mean"].item()
        assert read == pytest.approx(printed, abs=0.3)
    # Less correction ends better: Figure 31.
    rows = paper(table, metric="top1_validation")
    by_size = rows.assign(c=[_size(text) for text in rows["correction"]]).sort_values("c")["mean"]
    assert list(by_size) == [86.6, 86.7, 86.1, 83.0, 81.8, 79.1]


def _size(correction: str) -> float:
    return float(correction.partition("c=")[2].rstrip(")") or 0.1)


def test_a_constant_coefficient_ends_like_the_adaptive_one_in_standard_training(
    table: pd.DataFrame,
) -> None:
    rows = paper(table, method="bsr", dataset="cifar10", epoch=200, metric="top1")
    ends = rows.set_index(["objective", "sparsity", "correction"])["mean"]
    for sparsity, constant, adaptive in ((0.9, 92.1, 92.6), (0.99, 86.4, 87.1)):
        assert ends["standard", sparsity, "constant"] == constant
        assert ends["standard", sparsity, A_BSR] == adaptive
    assert ends["pgd-at", 0.99, "constant"] == 10.0


# --- beside ours ------------------------------------------------------------------------------


def bsr(root: Path, epochs: int = 200, **changes: Any) -> Path:
    """A cell of Table 1: 99 % sparsity, standard training."""
    task = {"dataset": entry("cifar10"), "architecture": entry("vgg16_bsr")}
    rising = np.linspace(0.2, 0.8, epochs)
    columns = {"validation_accuracy": rising, "test_accuracy": rising + 0.01 * changes.pop("up", 0)}
    cell = {"method": entry("bsr"), "sparsity": 0.99, **task, **changes}
    return write_cell(root, columns=columns, **cell)


def beside(folders: list[Path], root: Path) -> Beside:
    return beside_published(*collected(folders, root / "out"))


def test_each_row_of_the_paper_stands_beside_ours_at_its_epoch(tmp_path: Path) -> None:
    found = beside(
        [
            bsr(tmp_path, correction=entry(name, **options), seed=seed, up=seed)
            for name, options in (("none", {}), ("agc", {"variant": "a-bsr"}))
            for seed in range(3)
        ],
        tmp_path,
    )
    rows = found.rows[found.rows["published_metric"] == "top1"]
    assert len(rows) == 2 * 6  # two arms, six epochs of Table 1
    assert set(rows["published_note"]) == {"Table 1"}
    assert (rows["ours_measured_n"] == 3).all()
    np.testing.assert_allclose(rows["ours_measured_sd"], 0.01)
    at = np.linspace(0.2, 0.8, 200)[rows["published_epoch"].astype(int) - 1] + 0.01
    np.testing.assert_allclose(rows["ours_measured_mean"], at)
    # At the end it is the result, within the training the epoch's.
    last = rows["published_epoch"] == 200
    assert set(rows.loc[last, "measure"]) == {"final_test_accuracy"}
    assert set(rows.loc[~last, "measure"]) == {"test_accuracy"}
    # Robust accuracy is measured at the end alone; the paper has it of standard training, as 0.
    robust = found.rows[found.rows["published_metric"] == "robust"]
    assert list(robust["published_mean"]) == [0.0]
    assert list(robust["correction"]) == [A_BSR]
    assert found.lacking["metric"] == 5
    assert found.covered == 13
    assert found.total == len(read_published())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dataset": entry("digits")}, "dataset"),
        ({"architecture": entry("vgg16_cifar")}, "architecture"),
        ({"objective": entry("mart")}, "objective"),
        ({"method": entry("deepr")}, "method"),
        ({"sparsity": 0.95}, "sparsity"),
        ({"correction": entry("agc", variant="a-itop")}, "correction"),
        ({"correction": entry("agc", variant="a-bsr", alpha=0.5)}, "correction"),
        ({"epochs": 150}, "epochs"),
    ],
)
def test_a_row_that_nobody_covers_is_counted_by_what_it_lacks(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    same = beside([bsr(tmp_path / "same", correction=entry("agc", variant="a-bsr"))], tmp_path)
    other = {"correction": entry("agc", variant="a-bsr")} | changes
    found = beside([bsr(tmp_path / "other", **other)], tmp_path)
    assert same.covered == 7
    assert found.covered == len(found.rows) == 0
    assert found.lacking[reason] >= same.covered
    assert found.total == same.total


def test_options_that_all_runs_share_are_not_forgotten(tmp_path: Path) -> None:
    # The label of both is "agc" here, as there is nothing to tell it from.
    for variant, covered in (("a-bsr", 7), ("corrected", 0)):
        cells = [bsr(tmp_path / variant, correction=entry("agc", variant=variant))]
        assert beside(cells, tmp_path / variant).covered == covered


def test_tables_from_before_corrections_in_full_go_by_their_labels(tmp_path: Path) -> None:
    arms = [entry("agc", variant="a-bsr"), entry("agc")]
    folders = [bsr(tmp_path, correction=arm) for arm in arms]
    records, epochs = collected(folders, tmp_path / "out")
    assert set(records["correction_in_full"]) == {A_BSR, "agc"} == set(records["correction"])
    found = beside_published(records.drop(columns="correction_in_full"), epochs)
    pd.testing.assert_frame_equal(found.rows, beside_published(records, epochs).rows)
    assert found.covered == 7


def test_another_setting_of_the_source_is_covered_by_nobody(tmp_path: Path) -> None:
    cell = {"dataset": entry("cifar10"), "architecture": entry("vgg16_c"), "sparsity": 0.99}
    cell |= {"method": entry("set-itop"), "correction": entry("agc", variant="a-itop", gamma=1.0)}
    found = beside([bsr(tmp_path, epochs=250, **cell)], tmp_path)
    assert found.covered == 0
    assert found.lacking["setting"] == 5  # Table 10, "Reduce LR" with VGG-C


def test_a_source_without_epochs_fits_every_training(tmp_path: Path) -> None:
    cell = {"dataset": entry("imagenet"), "architecture": entry("resnet50"), "sparsity": 0.9}
    found = beside([bsr(tmp_path, epochs=12, method=entry("rigl"), **cell)], tmp_path)
    assert found.covered == len(found.rows) > 1
    assert found.rows["published_epochs"].isna().all()
    assert found.lacking["epochs"] > 1


def test_diverged_runs_are_counted_and_in_no_mean(tmp_path: Path) -> None:
    folders = [bsr(tmp_path, seed=0)]
    folders += [bsr(tmp_path, seed=seed, diverged=True) for seed in (1, 2)]
    folders += [
        bsr(tmp_path, seed=0, diverged=True, correction=entry("agc", variant="a-bsr")),
    ]
    found = beside(folders, tmp_path).rows
    plain, corrected = (found[found["correction"] == name] for name in ("none", A_BSR))
    assert set(plain["ours_measured_n"]) == {1}
    assert set(plain["ours_seeds"]) == {3}
    assert set(plain["ours_diverged"]) == {2}
    # The others of its recipe say how long it was to be.
    assert len(corrected) == 7
    assert set(corrected["ours_measured_n"]) == {0}


def test_runs_that_were_not_measured_after_every_epoch_are_beside_what_was_published_of_the_last(
    tmp_path: Path,
) -> None:
    best, last = 20, 200  # 20 is an epoch of Table 1 that happens to have a value here
    validation, test = np.full(last, 0.5), np.full(last, np.nan)
    validation[best - 1], test[best - 1], test[last - 1] = 0.9, 0.8, 0.7
    folder = write_cell(
        tmp_path,
        dataset=entry("cifar10"),
        architecture=entry("vgg16_bsr"),
        method=entry("bsr"),
        sparsity=0.99,
        training={"epochs": last},
        evaluation={"test": "last"},
        columns={"validation_accuracy": validation, "test_accuracy": test, "test_loss": test},
    )
    found = beside([folder], tmp_path)
    rows = found.rows[found.rows["published_metric"] == "top1"]
    assert list(rows["published_epoch"]) == [last]
    assert list(rows["ours_measured_mean"]) == [0.7]
    assert found.lacking["metric"] >= 5


def test_networks_for_small_images_are_told_from_those_for_large_ones(
    table: pd.DataFrame,
) -> None:
    for dataset, networks in table.groupby("dataset")["architecture"]:
        small = {name for name in networks if name.endswith("_cifar")}
        large = {name for name in networks if name in ("resnet18", "resnet34", "resnet50")}
        assert not (large if dataset in SMALL else small)
