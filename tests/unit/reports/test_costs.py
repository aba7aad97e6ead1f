from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from agc.reports.costs import compare_costs
from agc.reports.tables.costs import cost_table
from tests.support.records import collected, write_cell


def plan(folder: Path, train: float, total: float, memory: float = 5e8) -> None:
    """What was predicted of the cell of a folder."""
    seconds = {"train": train, "evaluation": 1.0, "setup": 0.0, "attacks": 0.0, "start": 9.0}
    seconds |= {"total": total, "low": 0.8 * total, "high": 1.3 * total, "load": 1.0}
    content = {"schema": 1, "slug": folder.name, "seconds": seconds, "memory": memory}
    content |= {"disk": 2000.0, "source": "calibrated here", "planned": "then"}
    (folder / "plan.json").write_text(json.dumps(content))


def measure(folder: Path, cpu: float, memory: int) -> None:
    """What the cell took: processor seconds, the same in each epoch, and bytes."""
    timings = pd.read_csv(folder / "timings.csv")
    timings.assign(cpu_seconds=cpu / len(timings)).to_csv(folder / "timings.csv", index=False)
    path = folder / "record.json"
    record = json.loads(path.read_text())
    record["provenance"]["peak_memory"] = memory
    path.write_text(json.dumps(record))


def test_predictions_stand_beside_what_cells_took(tmp_path: Path) -> None:
    folders = [write_cell(tmp_path, seed=seed) for seed in range(3)]
    totals = [json.loads((f / "record.json").read_text())["seconds"]["total"] for f in folders]
    for folder, cpu in zip(folders, (40.0, 50.0, 100.0), strict=True):
        plan(folder, train=49.0, total=50.0)
        measure(folder, cpu, 400_000_000 + int(cpu))
    found = compare_costs(*collected(folders, tmp_path / "out"))
    assert found is not None
    rows = found.set_index("measure")
    own = rows.loc["processor seconds of training"]
    # Predicted 50 each: a quarter too much, right, half of it; the interval is 40 to 65.
    assert own["predicted"] == pytest.approx(150)
    assert own["measured"] == pytest.approx(190)
    assert own["error"] == pytest.approx(0.25)
    assert own["bias"] == pytest.approx(1.0)
    assert own["within"] == pytest.approx(2 / 3)
    assert rows.loc["seconds of the clock, of all", "measured"] == pytest.approx(sum(totals))
    assert rows.loc["peak memory, MB", "measured"] == pytest.approx(400.0001)
    assert rows.loc["peak memory, MB", "predicted"] == pytest.approx(500)
    size = sum(f.stat().st_size for folder in folders for f in folder.iterdir())
    assert rows.loc["disk, MB", "measured"] == pytest.approx(size / 1e6)
    first = cost_table(found).rows[0]
    assert first[1:] == ["3", "150", "190", "25.0 %", "1.00", "67 %"]


def test_cells_without_a_plan_and_diverged_ones_do_not_count(tmp_path: Path) -> None:
    planned, other = (write_cell(tmp_path, seed=seed) for seed in (0, 1))
    diverged = write_cell(tmp_path, diverged=True, seed=2)
    for folder in (planned, diverged):
        plan(folder, train=49.0, total=50.0)
    found = compare_costs(*collected([planned, other, diverged], tmp_path / "out"))
    assert found is not None
    assert set(found["cells"]) == {1}
    assert "processor seconds of training" not in set(found["measure"])


def test_a_study_that_was_not_planned_so_has_no_such_columns(tmp_path: Path) -> None:
    records, epochs = collected([write_cell(tmp_path)], tmp_path / "out")
    assert compare_costs(records, epochs) is None
    assert "cpu_seconds" not in epochs
    assert not [name for name in records if "planned" in name]
