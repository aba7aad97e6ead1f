"""Figures: which there are, what they show, and that they are the same bytes each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.colors import to_hex
from PIL import Image

from agc.reports.curves import read_curves
from agc.reports.figures.forest_rows import forest_rows
from agc.reports.figures.learning_curves import draw_learning_curves, panels
from agc.reports.figures.style import PLAIN_COLOUR, file_stem, looks
from agc.reports.figures.summary import draw_summary
from agc.reports.figures.write import LONGEST_STEM, stems, write_figures
from agc.reports.pooled import pooled
from tests.support.records import collected, entry, write_cell


def small_grid(root: Path) -> list[Path]:
    folders = []
    for method, sparsity in ((entry("dense"), 0.0), (entry("rigl"), 0.9), (entry("rigl"), 0.98)):
        for correction in (entry("none"), entry("agc", gamma=0.1)):
            for seed in range(2):
                failed = correction["name"] == "agc" and sparsity == 0.98
                changes = {"method": method, "sparsity": sparsity, "correction": correction}
                folders.append(write_cell(root, diverged=failed, seed=seed, **changes))
    return folders


def test_the_same_records_give_the_same_figures(tmp_path: Path) -> None:
    records, epochs = collected(small_grid(tmp_path / "cells"), tmp_path)
    estimates = pooled(records)
    first = write_figures(records, epochs, tmp_path / "a", estimates)
    second = write_figures(records, epochs, tmp_path / "b", estimates)
    names = {path.name for path in first}
    assert set(first) == {path for path in (tmp_path / "a").rglob("*") if path.is_file()}
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"figures", "summary.png"}
    assert {"summary.png", "summary.svg"} < names
    assert {
        f"{measure}-by-{against}.{suffix}"
        for measure in ("accuracy", "loss")
        for against in ("epochs", "units")
        for suffix in ("png", "svg")
    } < names
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_lines_are_running_bests_averaged_over_seeds(tmp_path: Path) -> None:
    values = {0: [0.2, 0.6, 0.1, 0.8], 1: [0.4, 0.0, 0.5, 0.6]}
    folders = [
        write_cell(tmp_path, seed=seed, columns={"validation_accuracy": np.array(accuracy)})
        for seed, accuracy in values.items()
    ]
    records, epochs = collected(folders, tmp_path / "out")
    figure = draw_learning_curves(
        records, read_curves(records, epochs), "accuracy", "units", looks(["none"])
    )
    (axis,) = figure.axes
    raw, best = axis.lines
    np.testing.assert_allclose(best.get_xdata(), [3, 6, 9, 12])
    np.testing.assert_allclose(best.get_ydata(), [30, 50, 55, 70])
    np.testing.assert_allclose(raw.get_ydata(), [30, 30, 30, 70])
    assert to_hex(best.get_color()) == PLAIN_COLOUR


def test_diverged_runs_are_named_in_their_panel(tmp_path: Path) -> None:
    records, epochs = collected(small_grid(tmp_path / "cells"), tmp_path)
    curves = read_curves(records, epochs)
    figure = draw_learning_curves(
        records, curves, "loss", "epochs", looks(list(records["correction"]))
    )
    texts = {axis.get_title(): [text.get_text() for text in axis.texts] for axis in figure.axes}
    assert texts["rigl, 98 %"] == ["agc: 2 of 2 diverged"]
    assert texts["rigl, 90 %"] == []


def test_the_summary_says_what_has_no_mean(tmp_path: Path) -> None:
    records, _ = collected(small_grid(tmp_path / "cells"), tmp_path)
    (axis,) = draw_summary(forest_rows(records, pooled(records)), "", looks(["none", "agc"])).axes
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels == ["all 2 rows", "dense", "rigl 90 %", "rigl 98 %"]
    said = {
        text.get_text().strip(): text.get_position()[1] for text in axis.texts if text.get_text()
    }
    assert said["all diverged"] == axis.get_yticks()[3]


def test_corrections_keep_their_colours_and_the_plain_run_its_own() -> None:
    styles = looks(["svrg", "none", "agc", "", *(f"c{index}" for index in range(8))])
    assert styles["none"]["color"] == PLAIN_COLOUR
    assert len({tuple(look.values()) for look in styles.values()}) == len(styles) == 11
    assert looks(["agc", "placebo", "svrg"])["svrg"] == looks(["agc", "svrg"])["svrg"]
    assert looks(["agc", "svrg"])["agc"] == looks(["svrg", "agc", "none"])["agc"]


def test_panels_put_a_method_in_a_row(tmp_path: Path) -> None:
    records, _ = collected(small_grid(tmp_path / "cells"), tmp_path)
    assert panels(records) == [[("dense", 0.0)], [("rigl", 0.9), ("rigl", 0.98)]]


def test_file_names_are_safe() -> None:
    assert file_stem("a/b", "", "agc(gamma=1.0)", "..") == "a-b-agc-gamma-1.0"


def test_figures_are_named_by_what_differs() -> None:
    task, recipe = ("digits", "resnet8", "standard"), "epochs=8, optimizer.lr=0.1"
    assert stems([(*task, recipe)]) == [""]
    attacked = ("digits", "resnet8", "pgd-at", "epochs=8, evaluation.steps=5, optimizer.lr=0.1")
    assert stems([attacked, (*task, recipe)]) == ["pgd-at", "standard"]
    other = (*task, "epochs=8, optimizer.lr=0.3")
    assert stems([attacked, (*task, recipe), other]) == [
        "pgd-at",
        "standard-optimizer.lr-0.1",
        "standard-optimizer.lr-0.3",
    ]
    # What would be long, or the same word twice, is a number.
    long = [(*task, f"milestones={[value] * 30}, x=1") for value in (1, 2)]
    assert stems(long) == ["1", "2"]
    assert stems([(*task, "a=b-c"), (*task, "a=b c")]) == ["1", "2"]
    assert max(map(len, stems([attacked, other, *long]))) <= LONGEST_STEM


def test_a_picture_has_a_palette_and_no_date(tmp_path: Path) -> None:
    records, epochs = collected(small_grid(tmp_path / "cells"), tmp_path)
    paths = write_figures(records, epochs, tmp_path, pooled(records))
    for path in paths:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.mode == "P"
                assert set(image.info) == {"dpi"}


def test_the_first_page_shows_two_summaries_and_no_old_one(tmp_path: Path) -> None:
    folders = [
        write_cell(tmp_path / "cells", dataset=entry(dataset), correction=correction)
        for dataset in ("digits", "olivetti", "usps")
        for correction in (entry("none"), entry("agc"))
    ]
    out = tmp_path / "report"
    records, epochs = collected(folders, tmp_path / "out")
    write_figures(records, epochs, out, pooled(records))
    shown = {path.name for path in out.glob("*.png")}
    assert shown == {"summary-digits-resnet8.png", "summary-olivetti-resnet8.png"}
    assert (out / "figures" / "summary-usps-resnet8.png").exists()
    one = records[records["dataset"] == "digits"]
    write_figures(one, epochs, out, pooled(one))
    assert {path.name for path in out.glob("*.png")} == {"summary.png"}


def test_several_data_sets_have_a_summary_each(tmp_path: Path) -> None:
    folders = [
        write_cell(tmp_path, dataset=entry(dataset), correction=correction)
        for dataset in ("digits", "olivetti")
        for correction in (entry("none"), entry("agc"))
    ]
    records, epochs = collected(folders, tmp_path / "out")
    paths = write_figures(records, epochs, tmp_path / "report", pooled(records))
    names = {path.name for path in paths}
    assert {"summary-digits-resnet8.svg", "summary-olivetti-resnet8.svg"} < names
    assert len(names) == len(paths) == 2 * (4 + 1) * 2
