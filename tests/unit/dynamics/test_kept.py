from __future__ import annotations

import math
from pathlib import Path

import pytest

from agc.dynamics.kept import PREDICTION, Forecast, Settings, read_forecast, write_forecast
from agc.errors import UserError
from agc.files import read_json, write_json

FORECAST = Forecast("slug", "", 2.0, [1.0], [0.9], [1.1], 10, 3.0, ["said"], Settings(64, 32, 1))


def test_a_forecast_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = tmp_path / "slug"
    assert read_forecast(folder) is None
    write_forecast(folder, FORECAST)
    assert read_forecast(folder) == FORECAST
    write_forecast(folder, Forecast("slug", "no start"))
    refused = read_forecast(folder)
    assert refused is not None
    assert refused.refused == "no start"
    assert math.isnan(refused.initial)


def test_a_damaged_one_and_one_of_another_cell_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "slug"
    write_forecast(folder, FORECAST)
    path = folder / PREDICTION
    content = read_json(path)
    for wrong in ({**content, "slug": "other"}, {**content, "schema": 0}, {"schema": 1}, [1]):
        write_json(path, wrong)
        with pytest.raises(UserError, match=r"prediction\.json"):
            read_forecast(folder)
