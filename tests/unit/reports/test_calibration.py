"""The placebo's line beside the others: what is counted, and what is said of no effect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agc.reports.calibration import calibration
from agc.reports.compare import Comparison, compare
from agc.reports.families import expected_best_of
from agc.reports.rows import row_intervals
from agc.reports.sources import summarize_provenance
from agc.reports.tables.calibration import HEADING, WITHOUT, calibration_table, unmoved
from agc.reports.tables.readme import write_readme
from agc.reports.tables.write import write_tables
from tests.support.records import collected, entry, write_cell

SPARSITIES = (0.9, 0.98)
ACCURACIES = {
    "none": np.array([[0.5, 0.52, 0.54], [0.6, 0.63, 0.66]]),
    "agc": np.array([[0.6, 0.61, 0.66], [0.7, 0.72, 0.75]]),
    # The noise left one run of the first row as it was.
    "placebo": np.array([[0.5, 0.54, 0.52], [0.63, 0.6, 0.655]]),
}


def study(root: Path, names: tuple[str, ...]) -> tuple[pd.DataFrame, Comparison]:
    folders = []
    for name in names:
        for sparsity, row in zip(SPARSITIES, ACCURACIES[name], strict=True):
            for seed, value in enumerate(row):
                curve = np.array([0.2, value])
                columns = dict.fromkeys(("validation_accuracy", "test_accuracy"), curve)
                columns |= {"train_loss": 1 - curve, "validation_loss": 1 - curve}
                cell = {"correction": entry(name), "sparsity": sparsity, "seed": seed}
                folders.append(write_cell(root, columns=columns, **cell))
    records, epochs = collected(folders, root / "out")
    return records, compare(records, epochs)


def test_each_line_stands_before_the_placebos(tmp_path: Path) -> None:
    records, comparison = study(tmp_path, ("none", "agc", "placebo"))
    found = comparison.calibration
    assert found is not None
    pd.testing.assert_frame_equal(found, calibration(records, comparison.pooled))
    assert list(found["correction"]) == ["agc", "placebo"]
    assert set(found["budget"]) == {"epochs"}, "plain runs of its own units are its own pairs"
    for line in found.itertuples():
        differences = list(ACCURACIES[line.correction] - ACCURACIES["none"])
        single = row_intervals(differences, SPARSITIES)
        want = comparison.pooled.set_index(["correction", "budget"]).loc[
            (line.correction, "epochs")
        ]
        assert (line.mean, line.low, line.verdict) == (want["mean"], want.low, want.verdict)
        assert line.excluding == sum(one.p < 0.05 for one in single)
        assert line.excluding_by_chance == pytest.approx(0.1)
        assert line.largest == pytest.approx(100 * max(abs(one.mean) for one in single))
        chance = expected_best_of([one.se for one in single], either_side=True)
        assert line.largest_by_chance == pytest.approx(100 * chance.mean)
        squares = [np.var(row, ddof=1) for row in differences]
        assert line.sd_pairs == pytest.approx(100 * np.sqrt(np.mean(squares)))
        # Plain runs are 2 and 3 points apart from one seed to the next.
        assert line.sd_seeds == pytest.approx(np.sqrt(2 * (2**2 + 3**2) / 2))
    assert list(found["identical"]) == pytest.approx([0, 1 / 6])
    assert "17 % of a line's pairs" in unmoved(found)
    assert unmoved(found.assign(identical=0.0)) == ""


def test_its_files_and_section_are_there_with_the_arm_alone(tmp_path: Path) -> None:
    for names in (("none", "agc", "placebo"), ("none", "agc")):
        root, out = tmp_path / str(len(names)), tmp_path / "report"
        records, comparison = study(root, names)
        source = summarize_provenance(records)
        write_tables(comparison, out, source)
        page = write_readme(comparison, out, source, "grid").read_text()
        there = "placebo" in names
        files = ["calibration.csv", "tables/calibration.md", "tables/calibration.tex"]
        assert [(out / name).exists() for name in files] == [there] * 3
        assert (f"## {HEADING}\n" in page, WITHOUT in page) == (there, not there)
        if there:
            table = calibration_table(comparison.calibration)
            assert all(len(row) == len(table.header) for row in table.rows)
            assert len(pd.read_csv(out / "calibration.csv")) == len(table.rows) == 2
