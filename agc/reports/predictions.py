"""The predicted course of training losses beside the measured one: steps to a loss."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agc.dynamics.kept import read_forecast
from agc.dynamics.steps import TARGETS, steps_to
from agc.errors import UserError
from agc.files import atomic_write_text
from agc.grids.start import described

if TYPE_CHECKING:
    import pandas as pd

FILE = "predictions.csv"

DRAWN = "drawn weights"
"""What a cell starts from that names nothing."""

TOLD = ("initial", "steps_per_epoch", "seconds", "refused", "start")
"""What records tell of a prediction: see :class:`agc.dynamics.kept.Forecast`; ``start`` is what the
cell starts from, in words."""

COURSE = "forecast"
"""Column of the epochs: the predicted mean loss of the epoch's steps."""


def read_course(folder: Path, cell: dict[str, Any]) -> tuple[dict[str, Any], list[float]]:
    """What was predicted of a cell, as records tell it, and its course; both empty if nothing was.

    Raises:
        UserError: ``prediction.json`` is damaged.
    """
    found = read_forecast(folder)
    if found is None:
        return {}, []
    told: dict[str, Any] = {"refused": found.refused or None}
    if not found.refused:
        told |= {name: getattr(found, name) for name in ("initial", "steps_per_epoch", "seconds")}
    start = cell["training"].get("start")
    told["start"] = DRAWN if start is None else described(start)
    return {"forecast": told}, found.losses


def steps_table(records: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame | None:
    """Predicted and measured steps to each target, for all cells that were asked about.

    A target is a share of the first loss, which the network at its first weights tells.

    Args:
        records: a row for each cell, as collected.
        epochs: a row for each cell and epoch, as collected.

    Returns:
        A row for each finished cell and target: labels of the cell, ``start``, ``refused`` (a
        reason, then there is but one row, without a target), ``target``, ``predicted`` and
        ``measured`` steps (NaN: not within the training), ``predicted_seconds`` and
        ``train_seconds``. None if nothing was asked.
    """
    import pandas as pd

    if "provenance_forecast_start" not in records:
        return None
    asked = records[
        (records["status"] == "finished") & records["provenance_forecast_start"].notna()
    ]
    curves = dict(iter(epochs.groupby("slug")))
    rows = [row for record in asked.to_dict("records") for row in _rows(record, curves)]
    return pd.DataFrame(rows) if rows else None


def _rows(record: dict[str, Any], curves: dict[Any, pd.DataFrame]) -> list[dict[str, Any]]:
    shared = {key: record[key] for key in ("slug", "method", "sparsity", "seed", "recipe")}
    shared["start"] = record["provenance_forecast_start"]
    reason = record.get("provenance_forecast_refused")
    shared["refused"] = reason if isinstance(reason, str) else ""
    if shared["refused"]:
        return [shared]
    curve = curves[record["slug"]]
    initial = float(record["provenance_forecast_initial"])
    steps = int(float(record["provenance_forecast_steps_per_epoch"]))
    spent = curve["cpu_seconds"].sum() if "cpu_seconds" in curve else record["seconds_train"]
    shared |= {
        "predicted_seconds": float(record["provenance_forecast_seconds"]),
        "train_seconds": float(spent),
    }
    found = []
    for share in TARGETS:
        both = {
            name: steps_to(share * initial, initial, list(curve[column]), steps)
            for name, column in (("predicted", COURSE), ("measured", "train_loss"))
        }
        known = {key: np.nan if value is None else value for key, value in both.items()}
        found.append({**shared, "target": share, **known})
    return found


def write_steps(records: pd.DataFrame, epochs: pd.DataFrame, out: Path) -> pd.DataFrame | None:
    """Write :func:`steps_table` as ``predictions.csv`` into ``out``, if it is due; returns it."""
    table = steps_table(records, epochs)
    if table is None:
        (out / FILE).unlink(missing_ok=True)  # of the cells that were there before
    else:
        text = table.to_csv(index=False, float_format="%.10g", lineterminator="\n")
        atomic_write_text(out / FILE, text)
    return table


def read_steps(folder: Path) -> pd.DataFrame | None:
    """What :func:`write_steps` wrote into a folder; None if it wrote nothing.

    Raises:
        UserError: the file cannot be read.
    """
    import pandas as pd

    path = folder / FILE
    if not path.is_file():
        return None
    try:
        words = dict.fromkeys(("refused", "recipe"), "str")
        return pd.read_csv(path, dtype=words).fillna(dict.fromkeys(words, ""))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each start × method × sparsity, and one for all of them together.

    Of the steps that are both predicted and measured: ``error`` and ``worst``, the median and the
    largest relative error; ``ratio``, the median of predicted by measured; ``rank``, Spearman's
    correlation. Counts: ``cells``, ``refused`` of them; ``asked`` pairs of a cell and a target,
    ``both`` reached, only ``predicted`` or only ``measured``. ``cost``: seconds of the trainings by
    those of their predictions.
    """
    import pandas as pd

    groups = [
        ({"start": start, "method": method, "sparsity": sparsity}, own)
        for (start, method, sparsity), own in table.groupby(
            ["start", "method", "sparsity"], sort=True
        )
    ]
    inside = table[table["refused"] == ""]
    groups.append(({"start": "all", "method": "", "sparsity": np.nan}, inside))
    return pd.DataFrame([{**key, **_numbers(own)} for key, own in groups if len(own)])


def _numbers(own: pd.DataFrame) -> dict[str, float]:
    from scipy.stats import spearmanr

    cells = own.drop_duplicates("slug")
    counts = {"cells": len(cells), "refused": int((cells["refused"] != "").sum())}
    asked = own[own["refused"] == ""]
    if not len(asked):
        return counts
    predicted, measured = asked["predicted"].notna(), asked["measured"].notna()
    both = asked[predicted & measured & (asked["measured"] > 0)]
    ratio = both["predicted"] / both["measured"]
    errors = (ratio - 1).abs()
    some = len(both) > 2 and both["measured"].nunique() > 1 and both["predicted"].nunique() > 1
    spent = cells[cells["refused"] == ""]
    return {
        **counts,
        "asked": len(asked),
        "both": len(both),
        "predicted": int((predicted & ~measured).sum()),
        "measured": int((measured & ~predicted).sum()),
        "error": float(errors.median()) if len(both) else np.nan,
        "worst": float(errors.max()) if len(both) else np.nan,
        "ratio": float(ratio.median()) if len(both) else np.nan,
        "rank": float(spearmanr(both["predicted"], both["measured"])[0]) if some else np.nan,
        "cost": float(spent["train_seconds"].sum() / spent["predicted_seconds"].sum()),
    }
