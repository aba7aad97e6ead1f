"""The tables of methods: every plain arm once, in the order of accuracy at the highest sparsity."""

from __future__ import annotations

from pathlib import Path

import pytest

from agc.reports.compare import compare
from agc.reports.tables.methods import method_tables
from agc.reports.tables.write import write_tables
from tests.support.records import collected, entry, write_cell

FINAL = {"dense": 0.95, "static": 0.7, "rigl": 0.9, "set": 0.8}


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    def cell(method: str, sparsity: float, final: float, **changes: object) -> Path:
        return write_cell(
            tmp_path,
            columns={"test_accuracy": final},
            method=entry(method),
            sparsity=sparsity,
            **changes,
        )

    made = [cell("dense", 0.0, FINAL["dense"])]
    for method in ("static", "rigl", "set"):
        made += [cell(method, level, FINAL[method] - level / 10) for level in (0.9, 0.95)]
    return [*made, cell("rigl", 0.95, 0.2, correction=entry("agc"))]


def test_methods_are_ranked_at_the_highest_sparsity(tmp_path: Path, folders: list[Path]) -> None:
    main = compare(*collected(folders, tmp_path / "out")).main
    accuracies, costs = method_tables(main)
    assert accuracies.header == ["method", "dense", "90 %", "95 %"]
    assert [row[0] for row in accuracies.rows] == ["dense", "rigl", "set", "static"]
    assert accuracies.rows[0][1:] == ["95.00 (n=1)", "–", "–"]
    # The corrected run is no plain arm.
    assert accuracies.rows[1][1:] == ["–", "81.00 (n=1)", "80.50 (n=1)"]
    assert len(costs.rows) == 7
    write_tables(compare(*collected(folders, tmp_path / "out2")), tmp_path / "report", {})
    assert "cost of methods" in (tmp_path / "report" / "tables" / "methods.md").read_text()


def test_two_methods_are_no_ranking(tmp_path: Path, folders: list[Path]) -> None:
    main = compare(*collected(folders[:3], tmp_path / "out")).main
    assert method_tables(main) == []
