"""Collecting: what is whole is flattened faithfully, what is not is refused by name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from agc.errors import UserError
from agc.records.read import EPOCH_COLUMNS
from agc.reports.collect import collect
from agc.reports.compare import compare
from agc.reports.pooled import paired_rows
from agc.reports.study import read_study
from tests.support.records import collected, entry, write_cell


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "record.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def refuse(folders: list[Path], out: Path, *words: str) -> None:
    """Collecting fails, names every word, and leaves nothing behind."""
    with pytest.raises(UserError) as caught:
        collect(folders, out)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(out.glob("*"))


def test_rows_hold_the_values_of_the_files(tmp_path: Path) -> None:
    folders = [write_cell(tmp_path, seed=seed) for seed in (1, 0)]
    records, epochs = collected(folders, tmp_path / "out")

    assert list(records["slug"]) == sorted(folder.name for folder in folders)
    for row in records.to_dict("records"):
        folder = tmp_path / row["slug"]
        record = json.loads((folder / "record.json").read_text())
        assert row["seed"] == record["cell"]["seed"]
        assert row["final_test_accuracy"] == record["results"]["final"]["test_accuracy"]
        assert row["best_epoch"] == record["results"]["best"]["epoch"]
        assert row["training_flops"] == record["costs"]["training_flops"]
        assert row["seconds_robust_evaluation"] == record["seconds"]["robust_evaluation"]
        assert row["provenance_git_commit"] == record["provenance"]["git_commit"]
        mine = epochs[epochs["slug"] == row["slug"]].reset_index(drop=True)
        on_disk = pd.read_csv(folder / "epochs.csv")
        pd.testing.assert_frame_equal(
            mine[list(EPOCH_COLUMNS)].astype(float), on_disk.astype(float), check_exact=True
        )
        timings = pd.read_csv(folder / "timings.csv")
        assert list(mine["train_seconds"]) == list(timings["train_seconds"])


def test_the_order_of_the_folders_does_not_matter(tmp_path: Path) -> None:
    folders = [write_cell(tmp_path, seed=seed) for seed in range(3)]
    collect(folders, tmp_path / "one")
    collect([*reversed(folders), folders[0]], tmp_path / "other")
    for name in ("records.parquet", "epochs.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_a_diverged_cell_is_collected_with_the_epochs_it_has(tmp_path: Path) -> None:
    folder = write_cell(tmp_path, diverged=True)
    records, epochs = collected([folder], tmp_path / "out")
    assert records["status"].item() == "diverged"
    assert records["diverged_epoch"].item() == 3
    assert records["final_test_accuracy"].isna().item()
    assert len(epochs) == 3
    # The epoch that diverged may have no row of its own.
    edit(folder, lambda record: record.update(diverged_epoch=4))
    assert len(collected([folder], tmp_path / "out")[1]) == 3
    edit(folder, lambda record: record.update(diverged_epoch=9))
    refuse([folder], tmp_path / "none", "epochs.csv", "3 epochs", "8 or 9")


def test_labels_tell_only_what_differs(tmp_path: Path) -> None:
    training = {"epochs": 12, "batch_size": 128, "optimizer": {"name": "sgd", "lr": 0.1}}
    fast = training | {"optimizer": {"name": "sgd", "lr": 0.2}}
    variants = [
        {"correction": entry("none")},
        {"correction": entry("agc", gamma=0.1, alpha=0.3)},
        {"correction": entry("agc", gamma=1.0, alpha=0.3)},
        {"correction": entry("svrg", gamma=0.5)},
        {"correction": entry("none"), "training": fast},
    ]
    folders = [write_cell(tmp_path, **{"training": training} | change) for change in variants]
    records, _ = collected(folders, tmp_path / "out")
    rows = records.set_index("slug")
    labels = [rows.loc[folder.name, "correction"] for folder in folders]
    assert labels == ["none", "agc", "agc(gamma=1.0)", "svrg", "none"]
    recipes = [rows.loc[folder.name, "recipe"] for folder in folders]
    assert recipes == ["optimizer.lr=0.1"] * 4 + ["optimizer.lr=0.2"]
    assert set(records["method"]) == {"rigl"}

    alone, _ = collected(folders[1:2], tmp_path / "alone")
    assert (alone["correction"].item(), alone["recipe"].item()) == ("agc", "")


def test_evaluation_settings_and_revision_are_part_of_the_recipe(tmp_path: Path) -> None:
    folders = [
        write_cell(tmp_path, evaluation={"attack": "pgd", "steps": 20}),
        write_cell(tmp_path, evaluation={"attack": "pgd", "steps": 50}, revision=2),
    ]
    records, _ = collected(folders, tmp_path / "out")
    assert set(records["recipe"]) == {
        "evaluation.steps=20, revision=1",
        "evaluation.steps=50, revision=2",
    }


def test_a_truncated_record_is_refused(tmp_path: Path) -> None:
    folder = write_cell(tmp_path)
    path = folder / "record.json"
    path.write_text(path.read_text()[:200])
    refuse([folder], tmp_path / "out", str(path), "JSON")


def test_an_unfinished_cell_is_refused_and_the_others_are_counted(tmp_path: Path) -> None:
    folders = [write_cell(tmp_path, seed=seed) for seed in range(3)]
    for folder in folders[:2]:
        (folder / "record.json").unlink()
    refuse(folders, tmp_path / "out", "record.json does not exist", "and 1 more")


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    folder = write_cell(tmp_path)
    edit(folder, lambda record: record.update(schema=2))
    refuse([folder], tmp_path / "out", "record.json", "schema version 2", "reads 1")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.update(surprise=1), ["surprise"]),
        (lambda r: r.pop("costs"), ["costs"]),
        (lambda r: r["costs"].pop("units"), ["units"]),
        (lambda r: r["results"]["final"].update(test_accuracy=86.9), ["test_accuracy", "86.9"]),
        (lambda r: r["results"].update(final=None), ["final"]),
        (lambda r: r.update(diverged_epoch=4), ["diverged_epoch"]),
        (lambda r: r.update(status="running"), ["running"]),
        (lambda r: r["cell"]["method"].update(name=""), ["method"]),
        (lambda r: r["costs"].update(training_flops=None), ["training_flops"]),
    ],
)
def test_an_invalid_record_is_refused(tmp_path: Path, change: Any, words: list[str]) -> None:
    folder = write_cell(tmp_path)
    edit(folder, change)
    refuse([folder], tmp_path / "out", str(folder / "record.json"), *words)


def test_a_record_in_the_folder_of_another_cell_is_refused(tmp_path: Path) -> None:
    folder = write_cell(tmp_path)
    moved = folder.rename(tmp_path / "other")
    refuse([moved], tmp_path / "out", "other/record.json", folder.name)


def test_two_folders_of_one_cell_are_refused(tmp_path: Path) -> None:
    folders = [write_cell(tmp_path / root) for root in ("a", "b")]
    refuse(folders, tmp_path / "out", folders[0].name, "two places")


def test_no_cells_are_refused(tmp_path: Path) -> None:
    refuse([], tmp_path / "out", "no cells")


def cut_last_line(text: str) -> str:
    return text[: text.rstrip("\n").rindex("\n") + 1]


@pytest.mark.parametrize("name", ["epochs.csv", "timings.csv"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[:-5], ["truncated"]),
        (cut_last_line, ["11 epochs", "12"]),
        (lambda text: "", ["truncated"]),
        (lambda text: re.sub(r"(?m)^7,", "6,", text), ["count its epochs"]),
        (lambda text: re.sub(r"(?m)^7,[^,]*", "7,", text), ["in epoch 7"]),
        (lambda text: re.sub(r"(?m)^7,[^,]*", "7,much", text), ["no number"]),
        (lambda text: text.replace("train_", "drain_", 1), ["lacks the column 'train_"]),
    ],
)
def test_a_damaged_table_is_refused(
    tmp_path: Path, name: str, damage: Callable[[str], str], words: list[str]
) -> None:
    folder = write_cell(tmp_path)
    path = folder / name
    path.write_text(damage(path.read_text()))
    refuse([folder], tmp_path / "out", str(path), *words)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    folder = write_cell(tmp_path)
    (folder / "timings.csv").unlink()
    refuse([folder], tmp_path / "out", "timings.csv", "No such file")


def test_results_on_made_up_images_are_refused(tmp_path: Path) -> None:
    folders = [write_cell(tmp_path), write_cell(tmp_path, dataset=entry("synthetic"))]
    refuse(folders, tmp_path / "out", folders[1].name, "dataset 'synthetic' is made up")


def tuned(root: Path, **rates: float) -> list[Path]:
    """Runs of two seeds for each correction, with the learning rate that was chosen for it."""
    return [
        write_cell(
            root,
            correction=entry(name),
            seed=seed,
            training={"epochs": 12, "batch_size": 128, "optimizer": {"name": "sgd", "lr": lr}},
        )
        for name, lr in rates.items()
        for seed in (0, 1)
    ]


def test_rates_of_arms_leave_them_a_pair_and_have_a_column_of_their_own(tmp_path: Path) -> None:
    folders = tuned(tmp_path, none=0.1, agc=0.03)
    slugs = {folder.name for folder in folders}
    collect(folders, tmp_path / "out", rates_by_arm=slugs)
    records, epochs = read_study(tmp_path / "out")
    assert set(records["recipe"]) == set(records["family"]) == {""}
    assert dict(zip(records["correction"], records["lr"], strict=True)) == {
        "none": 0.1,
        "agc": 0.03,
    }
    assert list(records)[-1] == "lr"
    arm = records[records["correction"] == "agc"]
    (row,) = paired_rows(records, arm, "final_test_accuracy", "epochs")
    assert len(row.differences) == 2
    main = compare(records, epochs).main
    assert main[["plain_seeds", "corrected_seeds"]].to_numpy().tolist() == [[2, 2]]

    plain, _ = collected(folders, tmp_path / "plain")
    assert "lr" not in plain
    assert set(plain["family"]) == {"optimizer.lr=0.1", "optimizer.lr=0.03"}
    assert not paired_rows(
        plain, plain[plain["correction"] == "agc"], "final_test_accuracy", "epochs"
    )


def test_a_rate_of_the_recipe_stays_in_it_beside_rates_of_arms(tmp_path: Path) -> None:
    folders = [*tuned(tmp_path, none=0.1, agc=0.03), *tuned(tmp_path, svrg=0.4)]
    collect(folders, tmp_path / "out", rates_by_arm={folder.name for folder in folders[:4]})
    records, _ = read_study(tmp_path / "out")
    found = set(zip(records["correction"], records["recipe"], records["lr"], strict=True))
    assert found == {("none", "", 0.1), ("agc", "", 0.03), ("svrg", "optimizer.lr=0.4", 0.4)}


def test_two_rates_of_one_arm_are_refused(tmp_path: Path) -> None:
    folders = [*tuned(tmp_path, none=0.1), *tuned(tmp_path, none=0.2)]
    with pytest.raises(UserError, match="differ in their learning rate alone"):
        collect(folders, tmp_path / "out", rates_by_arm={folder.name for folder in folders})
    assert not (tmp_path / "out").exists()
