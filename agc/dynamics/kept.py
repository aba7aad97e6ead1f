"""``prediction.json``: the predicted course of a cell's training loss, in its folder."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agc.errors import UserError
from agc.files import read_json, write_json
from agc.grids.cell import SCHEMA

PREDICTION = "prediction.json"

IMAGES, SIZE, PATHS = 256, 512, 2
"""The usual :class:`Settings`."""


@dataclass(frozen=True)
class Settings:
    """How a course is predicted.

    Attributes:
        images: how many stand for all training images.
        size: how many numbers the weights are projected to.
        paths: courses that are drawn, with noises of their own.
    """

    images: int = IMAGES
    size: int = SIZE
    paths: int = PATHS


@dataclass(frozen=True)
class Forecast:
    """What is predicted of a cell.

    Attributes:
        slug: of the cell.
        refused: why nothing is predicted; empty if something is.
        initial: mean loss of the images before the first step.
        losses: mean loss of the steps of each epoch, mean over the drawn courses.
        low: the least of the courses, by epoch.
        high: the largest.
        steps_per_epoch: as the training has them.
        seconds: of the processor, what this took beside what other cells paid for.
        remarks: what is left out.
        settings: how it was predicted.
    """

    slug: str
    refused: str = ""
    initial: float = math.nan
    losses: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    steps_per_epoch: int = 0
    seconds: float = 0.0
    remarks: list[str] = field(default_factory=list)
    settings: Settings = Settings()


def write_forecast(folder: Path, forecast: Forecast) -> None:
    """Write what is predicted of the cell of a folder."""
    content = {"schema": SCHEMA, **asdict(forecast)}
    content["initial"] = None if math.isnan(forecast.initial) else forecast.initial
    write_json(folder / PREDICTION, content)


def read_forecast(folder: Path) -> Forecast | None:
    """What was predicted of the cell of a folder; None if nothing was asked.

    Raises:
        UserError: the file is damaged, or of another cell.
    """
    path = folder / PREDICTION
    if not path.exists():
        return None
    content: dict[str, Any] = read_json(path)
    try:
        schema = content.pop("schema")
        settings = Settings(**content.pop("settings"))
        initial = content.pop("initial")
        found = Forecast(
            **content, initial=math.nan if initial is None else initial, settings=settings
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no prediction ({error}): remove it") from error
    if schema != SCHEMA or found.slug != folder.name:
        raise UserError(f"{path} is no prediction of {folder.name}: remove it")
    return found
