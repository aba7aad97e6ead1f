from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from agc.dynamics.kept import Forecast, write_forecast
from agc.reports.predictions import read_steps, steps_table, summarize, write_steps
from agc.reports.tables.predictions import found_here, prediction_table, refusal_lines
from tests.support.records import collected, write_cell

EPOCHS = 12
START = {"file": "upright.safetensors", "digest": 64 * "0", "head": "new"}


def cell(root: Path, losses: list[float], seed: int = 0, **changes: object) -> Path:
    """A finished cell with these training losses, 10 steps an epoch, 12 processor seconds."""
    folder = write_cell(root, seed=seed, **changes)
    curve = pd.read_csv(folder / "epochs.csv")
    curve.assign(train_loss=losses).to_csv(folder / "epochs.csv", index=False)
    timings = pd.read_csv(folder / "timings.csv")
    timings.assign(cpu_seconds=12.0 / EPOCHS).to_csv(folder / "timings.csv", index=False)
    path = folder / "record.json"
    record = json.loads(path.read_text())
    record["cell"]["training"]["start"] = START
    path.write_text(json.dumps(record))
    return folder


def halving(epochs: float) -> list[float]:
    """Losses from 4 that halve in so many epochs, each at its epoch's middle."""
    return [4 * 0.5 ** ((epoch + 0.5) / epochs) for epoch in range(EPOCHS)]


def forecast(folder: Path, losses: list[float], refused: str = "") -> None:
    found = Forecast(folder.name, refused, 4.0, losses, losses, losses, 10, 3.0)
    write_forecast(folder, Forecast(folder.name, refused) if refused else found)


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two cells that take as long as predicted and twice as long, and one that was refused."""
    made = [
        cell(tmp_path, halving(1), seed=0),
        cell(tmp_path, halving(2), seed=1),
        cell(tmp_path, halving(1), seed=2),
    ]
    forecast(made[0], halving(1))
    forecast(made[1], halving(1))
    forecast(made[2], [], "too sparse")
    return made


def test_steps_of_both_courses_stand_beside_each_other(folders: list[Path], tmp_path: Path) -> None:
    table = steps_table(*collected(folders, tmp_path / "out"))
    assert table is not None
    known = table[table["refused"] == ""].set_index(["seed", "target"])
    # Ten steps halve the loss.
    assert known.loc[(0, 0.5), "predicted"] == pytest.approx(10)
    assert known.loc[(0, 0.5), "measured"] == pytest.approx(10)
    assert known.loc[(1, 0.5), "predicted"] == pytest.approx(10)
    assert known.loc[(1, 0.5), "measured"] == pytest.approx(20)
    assert set(known["start"]) == {"upright.safetensors, new head"}
    assert set(known["train_seconds"]) == {12.0}
    whole = summarize(table).set_index("start").loc["all"]
    assert (whole["cells"], whole["asked"], whole["both"]) == (2, 6, 6)
    # Three are right, three half of what they should be.
    assert whole["error"] == pytest.approx(0.25)
    assert whole["worst"] == pytest.approx(0.5)
    assert whole["ratio"] == pytest.approx(0.75)
    assert whole["cost"] == pytest.approx(4.0)
    assert refusal_lines(table) == ["1 cells: too sparse"]


def test_what_is_reached_in_one_course_alone_is_counted_and_in_no_error(tmp_path: Path) -> None:
    slow = cell(tmp_path, halving(20), seed=0)
    forecast(slow, halving(1))
    table = steps_table(*collected([slow], tmp_path / "out"))
    assert table is not None
    row = summarize(table).set_index("start").loc["all"]
    assert (row["both"], row["predicted"], row["measured"]) == (0, 3, 0)
    assert row["error"] != row["error"]
    assert found_here(summarize(table)) == "nothing was predicted"


def test_the_table_has_the_paper_s_claim_and_every_group(
    folders: list[Path], tmp_path: Path
) -> None:
    records, epochs = collected(folders, tmp_path / "out")
    written = write_steps(records, epochs, tmp_path)
    read = read_steps(tmp_path)
    assert written is not None
    assert read is not None
    pd.testing.assert_frame_equal(summarize(read), summarize(written), check_dtype=False)
    shown = prediction_table(summarize(read))
    assert "2008.12478" in shown.caption
    assert "within 20 %" in shown.caption
    assert "reconstruction" in shown.caption
    assert [row[0] for row in shown.rows] == ["upright.safetensors, new head", "all"]
    assert "median error 25 % of 6" in found_here(summarize(read))


def test_a_study_without_predictions_has_none_of_it(tmp_path: Path) -> None:
    plain = write_cell(tmp_path)
    records, epochs = collected([plain], tmp_path / "out")
    (tmp_path / "predictions.csv").write_text("of before")
    assert write_steps(records, epochs, tmp_path) is None
    assert read_steps(tmp_path) is None
    assert "forecast" not in epochs
    assert not [name for name in records if "forecast" in name]
