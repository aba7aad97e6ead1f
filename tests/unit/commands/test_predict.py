"""``agc predict``: steps to a loss for what can be predicted, the reason for what cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from agc.commands import predict as command
from agc.dynamics.kept import Forecast, Settings
from agc.grids.cell import Cell
from tests.conftest import CellMaker
from tests.support.command_line import agc

pytestmark = pytest.mark.usefixtures("here")

START = {"file": "given", "digest": 64 * "0"}


@pytest.fixture
def forecasts(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Every second loss is half of the one before; from scratch there is none."""
    asked: list[Settings] = []

    def forecast_cells(
        cells: list[Cell], folder: Path, settings: Settings, anew: bool
    ) -> Iterator[tuple[Cell, Forecast]]:
        asked.append(settings)
        for cell in cells:
            if cell.training.start is None:
                yield cell, Forecast(cell.slug, refused="it starts from drawn weights")
                continue
            losses = [4 * 0.5 ** (epoch + 0.5) for epoch in range(cell.training.epochs)]
            yield cell, Forecast(cell.slug, "", 4.0, losses, losses, losses, 10, 1.5, ["said"])

    monkeypatch.setattr("agc.runs.forecast.forecast_cells", forecast_cells)
    return asked


def test_a_cell_s_steps_are_shown_for_each_target(
    forecasts: list[Settings], tiny_cell: CellMaker
) -> None:
    cell = tiny_cell(training={"start": START, "epochs": 4})
    cell.write(Path("runs/one"))
    shown = agc("predict", "runs/one", "--target-loss", 2, "--target-loss", 0.1)
    assert shown.code == 0, shown
    (row,) = [line for line in shown.out.splitlines() if cell.slug in line and "│" in line]
    assert [part.strip() for part in row.split("│")][1:] == [
        *("4.000", "10 (10 to 10)", "never", "40", "1.5")
    ]
    assert f"{cell.slug}: said" in shown.out
    # Without a target: shares of the first loss.
    assert "steps to 0.5 of it" in " ".join(agc("predict", "runs/one").out.split())
    wanted = agc("predict", "runs/one", "--images", 32, "--sketch", 99, "--paths", 3)
    assert wanted.code == 0
    assert forecasts[-1] == Settings(32, 99, 3)


def test_a_grid_is_predicted_cell_by_cell_with_the_reasons_of_those_that_are_not(
    forecasts: list[Settings],
) -> None:
    for kind in ("grids", "recipes"):
        Path("workflows", kind).mkdir(parents=True)
    recipe = {"training": {"epochs": 4}}
    tuned = {"training": {"epochs": 4, "start": {"cell": {"recipe": "plain"}}}}
    grid = {
        "description": "one that starts from another",
        "recipe": "tuned",
        "datasets": ["digits"],
        "architectures": ["resnet8"],
        "objectives": ["standard"],
        "methods": ["dense"],
        "corrections": ["none"],
        "seeds": 1,
    }
    for path, content in (
        ("recipes/plain", recipe),
        ("recipes/tuned", tuned),
        ("grids/both", grid),
    ):
        Path("workflows", f"{path}.yaml").write_text(yaml.safe_dump(content))
    shown = agc("predict", "both")
    assert shown.code == 0, shown
    assert shown.out.count("not predicted: ") == 1
    assert "it starts from drawn weights" in shown.out
    assert len(list(Path("results/cells").glob("*/cell.json"))) == 2
    listed = json.loads(agc("predict", "both", "--json").out)
    assert sorted(bool(one["refused"]) for one in listed) == [False, True]


def test_a_target_that_is_no_loss_is_refused(tiny_cell: CellMaker) -> None:
    tiny_cell().write(Path("runs/one"))
    for value in (0, -1):
        message = agc("predict", "runs/one", f"--target-loss={value}").message
        assert f"--target-loss {value}: a loss above 0" in message
    assert command.reached(Forecast("s", "", 1.0, [0.9], [0.9], [0.9], 1), 0.5) == "never"
