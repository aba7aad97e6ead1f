"""Cells of a real grid, finished by made-up records."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from agc.grids.cell import Cell
from agc.records.correct import write_correct
from tests.support.records import make_epochs, make_record


def finish(cells: Iterable[Cell], results: Path, **provenance: Any) -> list[Path]:
    """Make up the files of cells. Those of a correction with a gamma of 1 tell which images are
    right, but for that of seed 2, which diverged at once.
    """
    folders = []
    for cell in cells:
        data = cell.model_dump(mode="json")
        options = data["correction"]["options"].get("gamma")
        at_once = (options, cell.seed) == (1.0, 2)
        curve = make_epochs(data).iloc[: 0 if at_once else None]
        record = make_record(data, curve, diverged=at_once) | {"slug": cell.slug}
        record["diverged_epoch"] = 1 if at_once else None
        record["provenance"] |= provenance
        folder = results / cell.slug
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(record, sort_keys=True))
        curve.to_csv(folder / "epochs.csv", index=False)
        times = {"epoch": curve["epoch"], "train_seconds": 0.5, "evaluation_seconds": 0.25}
        pd.DataFrame(times).to_csv(folder / "timings.csv", index=False)
        if options == 1.0 and not at_once:
            right = torch.arange(10) % (2 + cell.seed) == 0
            write_correct(folder, {"final": (right, right, right)})
        folders.append(folder)
    return folders
